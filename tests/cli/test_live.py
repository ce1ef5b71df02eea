from functools import partial

import pytest

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import RunRecord, Score
from stsm_cli.cli import live as module
from stsm_cli.cli.live import Clock, LiveTable, RunProgress
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
    return plan_sweep("alpha", "k400")


@pytest.fixture
def live(sweep):
    with LiveTable(sweep, load_paper_table(1), 7, Output()) as table:
        yield table


def test_clock_knows_nothing_before_anything_is_done():
    clock = Clock(7, now=100)
    assert clock.left(110) is None
    clock.update("a", 0.0)
    assert clock.left(120) is None


def test_clock_reckons_with_the_share_of_the_first_run():
    clock = Clock(7, now=100)
    clock.update("a", 0.0)
    clock.update("a", 0.25)
    assert clock.left(110) == pytest.approx(40 * 6.75)


def test_clock_says_nothing_before_an_epoch_is_measured():
    clock = Clock(7, now=100)
    clock.update("a", 0.5, an_epoch=0.1)
    clock.update("a", 0.55, an_epoch=0.1)
    assert clock.left(110) is None
    clock.update("a", 0.6, an_epoch=0.1)
    assert clock.left(120) == pytest.approx(200 * 6.4)


def test_the_time_begins_with_the_first_run_s_news(live, sweep, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    epochs = sweep.runs[0].recipe.optim.epochs
    live.news(sweep.runs[0], (0.0, ""))  # 1000 s went into making the data set
    now = 1010.0
    live.news(sweep.runs[0], (0.9 / epochs, ""))
    assert live._left() == "0 of 7 runs"
    live.news(sweep.runs[0], (1 / epochs, ""))
    assert live._left() == "0 of 7 runs, 1:56:30 left"


def test_clock_reckons_with_runs_side_by_side():
    clock = Clock(4, now=0)
    for run in "ab":
        clock.update(run, 0.0)
        clock.update(run, 1.0)
    clock.update("c", 0.0)
    clock.update("c", 0.5)
    assert clock.left(50) == pytest.approx(20 * 1.5)


def test_clock_does_not_count_what_a_continued_run_had_done():
    clock = Clock(2, now=0)
    clock.update("a", 0.5)
    clock.update("a", 0.75)
    assert clock.left(10) == pytest.approx(40 * 1.25)


def test_a_run_tells_its_share_and_what_it_does(monkeypatch):
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    told = []
    progress = RunProgress(4, 1, told.append)
    with progress.bar("epoch 2/4", 10) as bar:
        bar.advance(5, "loss 2.0")
    with progress.bar("validating epoch 2", 10) as bar:
        bar.advance(1)
    progress.epoch({"epoch": 2})
    with progress.bar("testing", 10) as bar:
        bar.advance(9)
    assert told == [
        (0.25, ""),
        (0.375, "epoch 2/4  loss 2.0"),
        (0.5, "validating epoch 2"),
        (0.5, "testing"),
    ]


def test_a_run_tells_seldom(monkeypatch):
    monkeypatch.setattr(module.time, "monotonic", lambda: 7.0)
    told = []
    progress = RunProgress(4, 0, told.append)
    with progress.bar("epoch 1/4", 1000) as bar:
        for _ in range(1000):
            bar.advance()
    assert told == [(0.0, "")]


def test_a_warning_of_a_run_is_told_once_and_other_messages_are_not(live, sweep, capsys):
    for run in sweep.runs[:2]:
        progress = RunProgress(4, 0, partial(live.news, run))
        for epoch in (1, 12):
            progress.message(f"warning: validating epoch {epoch}: 1 video did not decode")
        progress.message("a CPU of 2 threads")
    row = sweep.runs[0].row.name
    line = f"warning: {row}, seed 0: validating epoch 1: 1 video did not decode"
    assert capsys.readouterr() == ("", f"{line}\n")


def test_elsewhere_than_on_a_terminal_a_run_is_a_line(live, sweep, capsys):
    live.finish(sweep.runs[0], record())
    live.news(sweep.runs[3], (0.0, ""))
    live.news(sweep.runs[3], (0.5, "epoch 5/10  loss 2.0"))
    live.finish(sweep.runs[3], record("3/8", pair=None))
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == "0, seed 0: top-1 25.0 %, in pair 62.5 % (finished before); 1 of 7 runs"
    assert second.startswith("3/8, seed 0: top-1 25.0 % (61 s); 2 of 7 runs, 0:00:0")
    assert second.endswith(" left")


def test_elsewhere_what_is_under_way_is_a_line_a_minute(sweep, monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with LiveTable(sweep, load_paper_table(1), 7, Output()) as live:
        for now in (1.0, 59.0, 60.0, 61.0, 119.0, 121.0):
            live.news(sweep.runs[3], (now / 1000, "epoch 2/12  loss 2.0"))
        live.news(sweep.runs[0], (0.0, "epoch 1/12"))
    assert capsys.readouterr().err.splitlines() == [
        "0 of 7 runs, 1:55:40 left; 3/8, seed 0: 6%",
        "0 of 7 runs, 1:54:39 left; 3/8, seed 0: 12%",
    ]


def test_elsewhere_runs_that_are_trained_are_tested(sweep, monkeypatch, capsys):
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with LiveTable(sweep, load_paper_table(1), 1, Output()) as live:
        live.records = [record()] * 6
        for now, share in ((1.0, 0.0), (59.0, 0.9), (60.0, 1.0)):  # noqa: B007
            live.news(sweep.runs[3], (share, "testing"))
    assert capsys.readouterr().err == "6 of 7 runs, all trained; 3/8, seed 0: testing\n"


def test_the_table_fills_in(live, sweep):
    live.finish(sweep.runs[0], record())
    live.news(sweep.runs[1], (0.15, "epoch 2/10"))
    live.news(sweep.runs[2], (0.5, "epoch 6/10"))
    rows = live._rows()
    assert rows[0] == ["0", "72.16", "25.0", "62.5", "1"]
    assert rows[1] == ["1/8", "74.62", "seed 0: 15%", "", "0"]
    assert rows[2] == ["1/4", "74.77", "seed 0: 50%", "", "0"]
    assert rows[3] == ["3/8", "75.04", "not run", "", "0"]


def test_a_second_seed_stands_beside_the_first(sweep):
    sweep = plan_sweep("alpha", "k400", seeds=2)
    with LiveTable(sweep, load_paper_table(1), 14, Output(-1)) as live:
        live.finish(sweep.runs[0], record())
        live.news(sweep.runs[7], (0.25, "epoch 3/10"))
        assert live._rows()[0] == ["0", "72.16", "25.0, seed 1: 25%", "62.5", "1"]


def test_on_a_terminal_it_is_drawn_on_stderr_and_wiped(sweep, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with LiveTable(sweep, load_paper_table(1), 7, Output()) as live:
        live.news(sweep.runs[0], (0.5, "epoch 1/6  loss 2.5"))
        live.news(sweep.runs[0], (0.5, "warning: \x1b]0;a name\nof two lines.mp4"))
    out, err = capsys.readouterr()
    assert out == ""
    assert r"warning: 0, seed 0: \u001b]0;a name\nof two lines.mp4" in err
    for text in ("Table 1: Share α", "seed 0: 50%", "0, seed 0: epoch 1/6  loss 2.5", "0 of 7"):
        assert text in err


def test_quiet_is_quiet(sweep, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with LiveTable(sweep, load_paper_table(1), 7, Output(-1)) as live:
        live.news(sweep.runs[0], (0.5, "epoch 1/6"))
        live.finish(sweep.runs[0], record())
    assert capsys.readouterr() == ("", "")
