import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from stsm_cli.engine import wandb_board
from stsm_cli.engine.board import Board
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.wandb_board import WandbWriter, require_wandb
from stsm_cli.errors import DivergedError, InterruptedRunError, UsageError


class Wandb:
    """What is used of the package; `begun` and `logged` tell how."""

    class errors:
        class Error(Exception):
            pass

        class CommError(Error):
            pass

    def __init__(self, mode="online", *, account=True, raises=()):
        self.mode, self.account, self.raises = mode, account, list(raises)
        self.begun, self.logged, self.calls = [], [], []

    def Settings(self, **settings):
        return settings

    def setup(self, settings):
        assert settings["silent"]
        return SimpleNamespace(settings=SimpleNamespace(mode=self.mode))

    def login(self, *, prompt, verify):
        assert not prompt
        assert not verify
        return self.account

    def teardown(self):
        self.calls.append("teardown")

    def init(self, **options):
        self.begun.append(options)
        if self.raises:
            raise self.raises.pop()
        return SimpleNamespace(
            offline=(options["mode"] or self.mode) == "offline",
            url="https://there/run",
            log=lambda values, step: self.logged.append((step, values)),
            finish=lambda exit_code: self.calls.append(f"finish {exit_code}"),
        )


@pytest.fixture
def package(monkeypatch):
    """package(...): stands for Weights & Biases."""

    def package(*arguments, **options):
        fake = Wandb(*arguments, **options)
        monkeypatch.setitem(sys.modules, "wandb", fake)
        monkeypatch.setattr(wandb_board, "find_spec", lambda name: fake)
        return fake

    return package


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path / "synth-stsm-001")
    run.path.mkdir()
    return run


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(wandb_board, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--wandb: the package wandb is not installed") as error:
        require_wandb()
    assert error.value.hint == "pip install 'stsm[wandb]'"


def test_without_an_account_nobody_is_asked(package):
    package(account=False)
    with pytest.raises(UsageError, match="--wandb: no account of Weights & Biases is") as error:
        require_wandb()
    assert "WANDB_MODE=offline" in error.value.hint
    package("offline", account=False)
    require_wandb()
    package()
    require_wandb()


def test_it_gets_what_tensorboard_gets_and_a_resumed_run_keeps_its_id(
    package, folder, recipe, said
):
    fake = package()
    for first in (0, 20):
        board = Board(None, first, [WandbWriter("actions", folder, recipe, said)])
        board.step(first, {"loss": 0.5, "lr": 0.1})
        board.step(first + 1, {"loss": 0.4, "lr": 0.1})
        board.epoch(first + 1, {"val_top1": 50.0, "val_pair_accuracy": None})
        board.close()
    assert fake.logged[:3] == [
        (0, {"step/loss": 0.5}),
        (0, {"step/lr": 0.1}),
        (1, {"epoch/val_top1": 50.0}),
    ]
    assert fake.calls == ["finish 0"] * 2
    first, second = fake.begun
    assert first["id"] == second["id"]
    assert len(first["id"]) == 16
    assert (first["project"], first["name"], first["resume"]) == ("actions", folder.name, "allow")
    assert first["config"]["optim"]["epochs"] == recipe.optim.epochs
    assert first["settings"]["finish_timeout"] > 0
    assert said.lines == ["Weights & Biases: https://there/run"] * 2
    assert folder.is_untrained


@pytest.mark.parametrize(
    ("error", "code"),
    [(DivergedError("not finite"), 1), (InterruptedRunError("at epoch 1"), 0)],  # it is resumed
)
def test_a_run_that_diverged_has_failed(package, folder, recipe, said, error, code):
    fake = package()
    with (
        pytest.raises(type(error)),
        closing(Board(None, 0, [WandbWriter("actions", folder, recipe, said)])),
    ):
        raise error
    assert fake.calls == [f"finish {code}"]


def test_a_run_without_a_connection_goes_on_offline(package, folder, recipe, said):
    fake = package(raises=[Wandb.errors.CommError("server is away\nsince noon")])
    WandbWriter("actions", folder, recipe, said).add_scalar("step/loss", 1.0, 0)
    assert fake.begun[1]["mode"] == "offline"
    assert fake.calls == ["teardown"]
    assert fake.logged == [(0, {"step/loss": 1.0})]
    assert said.lines == [
        "warning: --wandb: server is away: goes on offline",
        f"Weights & Biases: offline in {folder.wandb}, for `wandb sync`",
    ]


def test_a_name_that_is_refused_is_one_line(package, folder, recipe, said):
    package(raises=[ValueError("Invalid project name a/b\nmore")])
    with pytest.raises(UsageError, match=r"^--wandb a/b: Invalid project name a/b$"):
        WandbWriter("a/b", folder, recipe, said)


def test_a_run_sends_its_curves(package, recipe, train_videos, val_videos, tmp_path, run):
    fake = package()
    run(recipe, train_videos, val_videos, tmp_path / "a", wandb="actions")
    assert [step for step, values in fake.logged if "step/loss" in values] == [0]
    assert [step for step, values in fake.logged if "epoch/val_top1" in values] == [4, 9]
    assert fake.calls == ["finish 0"]
