import pytest
import torch

from stsm_cli.bench.turns import Stopwatch, milliseconds, ratio, take_turns
from stsm_cli.progress import SILENT

CPU = torch.device("cpu")


@pytest.fixture
def done():
    """Rounds in which variants ran, in order."""
    return []


def run(done, rounds, names="ab"):
    variants = {name: (lambda turn, name=name: done.append(f"{name}{turn}")) for name in names}
    with SILENT.bar("", 0) as bar:
        return take_turns(variants, rounds, Stopwatch(CPU), bar)


def test_variants_take_turns_after_one_to_warm_up_and_each_round_another_begins(done):
    seconds = run(done, 2)
    assert [sorted(done[i : i + 2]) for i in (0, 2, 4)] == [
        ["a0", "b0"],
        ["a0", "b0"],
        ["a1", "b1"],
    ]
    assert done[2:] == ["a0", "b0", "b1", "a1"]
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}
    assert min(min(times) for times in seconds.values()) >= 0


def test_figures_are_medians():
    seconds = {"a": [1.0, 2.0, 30.0], "b": [2.0, 2.0, 3.0]}
    assert milliseconds(seconds, "a") == 2000
    assert ratio(seconds, "b", "a") == 1.0  # of 2, 1 and 0.1, not of the medians


def test_cpu_time_is_that_of_the_process(monkeypatch):
    monkeypatch.setattr("time.process_time", lambda: 7.0)
    assert Stopwatch(CPU, is_cpu_time=True).now() == 7.0
    assert Stopwatch(CPU).now() != 7.0
