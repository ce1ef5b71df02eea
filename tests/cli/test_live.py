import pytest

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import RunRecord, Score
from stsm_cli.cli.live import Clock, LiveTable
from stsm_cli.cli.output import Output


def record(row="0", seed=0, pair=62.5):
    """As much of a record as the table shows."""
    found = object.__new__(RunRecord)
    score = Score(99, 100, 25, 25.0, (17.0, 34.0), 90.0, 25.0, pair)
    for name, value in {"row": row, "seed": seed, "score": score, "seconds": 61.4}.items():
        object.__setattr__(found, name, value)
    return found


@pytest.fixture
def sweep():
    return plan_sweep("alpha")


@pytest.fixture
def live(sweep):
    with LiveTable(sweep, load_paper_table(1), 7, Output()) as table:
        yield table


def test_clock_knows_nothing_before_anything_is_done():
    clock = Clock(7)
    assert clock.left(0, 0) is None
    clock.start(0)
    assert clock.left(10, 0) is None


def test_clock_reckons_with_the_share_of_the_first_run():
    clock = Clock(7)
    clock.start(100)
    assert clock.left(110, 0.25) == pytest.approx(40 * 6.75)


def test_clock_reckons_with_finished_runs():
    clock = Clock(3)
    clock.start(0)
    clock.finish(40)
    clock.start(40)
    clock.finish(100)
    clock.start(100)
    assert clock.left(105, 0.5) == pytest.approx(50 * 0.5)
    clock.finish(150)
    assert clock.num_missing == 0


def test_clock_does_not_count_what_a_continued_run_had_done():
    clock = Clock(2)
    clock.start(0, 0.5)
    assert clock.left(10, 0.75) == pytest.approx(40 * 1.25)
    clock.finish(20)
    assert clock.left(20, 0) == pytest.approx(40)


def test_clock_passes_over_runs_that_were_finished_before():
    clock = Clock(2)
    clock.finish(10)
    assert (clock.num_missing, clock.left(10, 0)) == (2, None)


def test_elsewhere_than_on_a_terminal_a_run_is_a_line(live, sweep, capsys):
    live.finish(sweep.runs[0], record())
    live.start(sweep.runs[3], epochs_done=0)
    with live.bar("epoch 1/6", 10) as bar:
        bar.advance(5, "loss 2.0")
    live.finish(sweep.runs[3], record("3/8", pair=None))
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == "0, seed 0: top-1 25.0 %, in pair 62.5 % (finished before); 1 of 7 runs"
    assert second.startswith("3/8, seed 0: top-1 25.0 % (61 s); 2 of 7 runs, 0:00:0")
    assert second.endswith(" left")


def test_the_table_fills_in(live, sweep):
    live.finish(sweep.runs[0], record())
    live.start(sweep.runs[1], epochs_done=0)
    epochs = sweep.runs[1].recipe.optim.epochs
    live.epoch({"epoch": 1})
    with live.bar(f"epoch 2/{epochs}", 10) as bar:
        bar.advance(5)
        rows = live._rows()
    assert rows[0] == ["0", "72.16", "25.0", "62.5", "1"]
    assert rows[1] == ["1/8", "74.62", f"seed 0: {1.5 / epochs:.0%}", "", "0"]
    assert rows[2] == ["1/4", "74.77", "not run", "", "0"]


def test_validation_does_not_count_as_training(live, sweep):
    live.start(sweep.runs[0], epochs_done=3)
    with live.bar("validating epoch 4", 10) as bar:
        bar.advance(9)
        assert live._share() == pytest.approx(3 / sweep.runs[0].recipe.optim.epochs)


def test_on_a_terminal_it_is_drawn_on_stderr_and_wiped(sweep, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with LiveTable(sweep, load_paper_table(1), 7, Output()) as live:
        live.start(sweep.runs[0], epochs_done=0)
        with live.bar("epoch 1/6", 2) as bar:
            bar.advance(1, "loss 2.5")
        live.message("something to say")
    out, err = capsys.readouterr()
    assert out == ""
    for text in ("Table 1: Share α", "seed 0: ", "epoch 1/6  loss 2.5", "0 of 7 runs", "to say"):
        assert text in err


def test_quiet_is_quiet(sweep, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with LiveTable(sweep, load_paper_table(1), 7, Output(-1)) as live:
        live.start(sweep.runs[0], epochs_done=0)
        with live.bar("epoch 1/6", 2) as bar:
            bar.advance(1)
        live.finish(sweep.runs[0], record())
    assert capsys.readouterr() == ("", "")
