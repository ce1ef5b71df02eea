"""Files of runs and records with seeded damage: read, or one line that names them."""

import json
import random

import pytest

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.records import NetworkCost, read_records, record_path, write_record
from stsm_cli.analysis.sweep import Outcome, make_record
from stsm_cli.cli.app import run
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.trained import trained
from stsm_cli.errors import StsmError
from stsm_cli.stored import wilson_interval

VALUES = (None, True, "", "x", "\0", -1, 0, 0.5, 2**63, 10**400, 1e308, [], [1], {}, {"a": 1})
RAW = ("NaN", "-Infinity", "1e999", "9" * 5000, "[" * 2000 + "]" * 2000, '"\\ud83d"')
RESULT = {
    "name": "synth/stsm",
    "protocol": "synth-1x1@32",
    "recipe_hash": "0" * 12,
    "num_videos": 16,
    "num_listed": 16,
    "correct": 4,
    "top1": 25.0,
    "top1_interval": [100 * bound for bound in wilson_interval(4, 16)],
    "top5": 75.0,
    "mean_class": 25.0,
    "pair_accuracy": 50.0,
    "pairs": [{"classes": ["a", "b"], "videos": 16, "correct": 4, "ordered": 8}],
    "seconds_train": 1.0,
    "seconds_eval": 1.0,
    "broken": [],
}
METRICS = {"lr": 0.1, "train_loss": 2, "train_top1": 10, "val_top1": 9, "seconds": 1}


def places(value, before=()):
    """Every key or index below `value`, as a path."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in inside:
        yield (*before, key)
        if isinstance(child, (dict, list)):
            yield from places(child, (*before, key))


def damaged(content, rng):
    """A JSON text with a key less, another value, or damage to its bytes."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(
            [content[: rng.randrange(len(content))], b"", b"[]", content.decode().encode("utf-16")]
        )
    tree = json.loads(content)
    *path, last = rng.choice(list(places(tree)))
    inner = tree
    for key in path:
        inner = inner[key]
    if kind == 1:
        del inner[last]
    else:
        inner[last] = rng.choice(VALUES) if kind == 2 else "RAW"
    return json.dumps(tree).replace('"RAW"', rng.choice(RAW)).encode()


@pytest.fixture
def sweep():
    return plan_sweep("alpha", overrides=["optim.epochs=2", "optim.warmup_epochs=0"])


@pytest.fixture
def begun(sweep, tmp_path):
    """A run folder with a result, and its record."""
    first, folder = sweep.runs[0], RunFolder(tmp_path / "runs" / "a")
    about = {"recipe": "synth/stsm", "data": "data", "decoder": "pyav", "packages": {"torch": "2"}}
    folder.create(first.recipe, about, ["a", "b"])
    for epoch in (1, 2):
        folder.log_epoch(METRICS | {"epoch": epoch, "seconds_val": 0.5})
    folder.result_file.write_text(json.dumps(RESULT))
    return folder


def test_damaged_files_of_a_run_are_read_or_named(begun):
    rng, errors = random.Random(0), []
    files = (begun.environment_file, begun.result_file, begun.metrics_file)
    for _ in range(100):
        file = rng.choice(files)
        whole = file.read_bytes()
        first, end, rest = whole.partition(b"\n" if file == begun.metrics_file else b"none")
        file.write_bytes(damaged(first, rng) + end + rest)
        try:
            trained(str(begun.path), None)
            json.dumps([begun.result(), begun.metrics(), begun.environment()])
        except StsmError as error:
            errors.append((error, file))
        file.write_bytes(whole)
    assert 50 < len(errors) < 100
    for error, file in errors:
        assert str(error).startswith(f"{file}:")
        assert "\n" not in str(error)
        assert error.hint


def test_damaged_records_are_read_or_named(begun, sweep, tmp_path, monkeypatch, capsys):
    rng, errors, first = random.Random(0), [], sweep.runs[0]
    cost = NetworkCost(first.recipe.test.crop_px, 1, 1)
    monkeypatch.setattr("stsm_cli.analysis.sweep.network", lambda *_: cost)
    made = make_record(sweep, first, Outcome(RESULT, begun.metrics(), begun.environment()))
    path = record_path(tmp_path, sweep, first)
    write_record(path, made)
    whole = path.read_bytes()
    for _ in range(100):
        path.write_bytes(damaged(whole, rng))
        try:
            read_records(tmp_path)
        except StsmError as error:
            errors.append(error)
    assert 60 < len(errors) < 100
    for error in errors:
        assert str(error).startswith(f"{path}: ")
        assert error.hint
    path.write_bytes(b"{}")
    edits = ["--set", "optim.epochs=2", "--set", "optim.warmup_epochs=0"]
    assert run(["ablate", "alpha", *edits, "--dry-run", "--out", str(tmp_path)]) == 1
    assert f"error: {path}: not a run record: table: Field required\n" in capsys.readouterr().err
