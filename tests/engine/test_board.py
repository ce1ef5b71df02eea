import pytest

from stsm_cli.engine import board
from stsm_cli.engine.board import Board, require_tensorboard
from stsm_cli.errors import UsageError


def scalars(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_it_writes_every_tenth_step_and_every_epoch(tmp_path):
    curves = Board(tmp_path, 0)
    for step in range(21):
        curves.step(step, {"loss": step / 2})
    curves.epoch(20, {"val_top1": 50.0, "val_pair_accuracy": None})
    curves.close()
    assert scalars(tmp_path) == {
        "step/loss": [(0, 0.0), (10, 5.0), (20, 10.0)],
        "epoch/val_top1": [(20, 50.0)],
    }


def test_without_a_folder_nothing_is_written(tmp_path):
    curves = Board(None, 0)
    curves.step(0, {"loss": 1.0})
    curves.epoch(0, {"val_top1": 1.0})
    curves.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_wrote_after_its_checkpoint_is_hidden(tmp_path):
    for first, value in ((0, 1.0), (10, 2.0)):
        curves = Board(tmp_path, first)
        for step in (first, first + 10):
            curves.step(step, {"loss": value})
        curves.close()
    assert scalars(tmp_path)["step/loss"] == [(0, 1.0), (10, 2.0), (20, 2.0)]


def test_without_tensorboard_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--tensorboard: the package tensorboard is not") as error:
        require_tensorboard()
    assert error.value.hint == "pip install 'stsm[tensorboard]'"
