import io
import json
import math
import os
import shlex
import subprocess
import sys

import pytest

from stsm_cli.cli import output
from stsm_cli.cli.output import Output
from stsm_cli.errors import RecipeError


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    return now


def test_results_go_to_stdout_and_messages_to_stderr(capsys):
    out = Output()
    out.message("hello")
    out.text("result")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "hello\n")


def test_quiet_silences_messages_and_bars_but_not_warnings_errors_or_results(capsys, clock):
    out = Output(-1)
    out.message("hello")
    out.message("warning: of a run")
    out.detail("more")
    with out.bar("epoch", 10) as bar:
        clock[0] = 100.0
        bar.advance()
    out.warn("look")
    out.error(RecipeError("bad"))
    out.json({"a": 1})
    captured = capsys.readouterr()
    assert captured.err == "warning: of a run\nwarning: look\nerror: bad\n"
    assert json.loads(captured.out) == {"a": 1}


@pytest.mark.parametrize(("encoding", "shown"), [("UTF-8", "3 × α 😀"), ("ascii", None)])
def test_json_can_be_read_whatever_the_encoding(monkeypatch, encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", stream)
    Output().json({"a": "3 × α 😀"})
    text = stream.buffer.getvalue().decode(encoding)
    assert json.loads(text) == {"a": "3 × α 😀"}
    assert shown is None or shown in text


@pytest.mark.parametrize(
    ("terminal", "drawn"), [("xterm", True), ("dumb", False), ("unknown", False)]
)
def test_a_dumb_terminal_gets_lines(monkeypatch, terminal, drawn):
    monkeypatch.setenv("TERM", terminal)
    stream = io.StringIO()
    assert not output.can_draw(stream)
    stream.isatty = lambda: True
    assert output.can_draw(stream) == drawn


@pytest.mark.parametrize(("verbosity", "shown"), [(0, ""), (1, "more\n")])
def test_details_are_shown_from_v_on(capsys, verbosity, shown):
    Output(verbosity).detail("more")
    assert capsys.readouterr().err == shown


def test_an_error_shows_each_problem_and_each_hint_on_its_own_line(capsys):
    Output().error(RecipeError("a.yaml:1: x\na.yaml:2: y", hint="do\nthis"))
    expected = "error: a.yaml:1: x\nerror: a.yaml:2: y\nhint: do\nhint: this\n"
    assert capsys.readouterr().err == expected


def test_text_with_brackets_is_printed_as_it_is_and_never_wrapped(capsys):
    text = "[bold]top-1[/bold] :smile: " + "x" * 200
    Output().message(text)
    assert capsys.readouterr().err == text + "\n"


NASTY = "\x1b[2Ja\x07\r\n\tb\x9bc\u202ed\u2028e\udce9f é"
SPELLED = r"\u001b[2Ja\u0007\r\n\tb\u009bc\u202ed\u2028e\udce9f é"


def test_what_a_terminal_would_obey_is_spelled_out_wherever_it_is_printed(capsys):
    out = Output(1)
    for say in (out.message, out.detail, out.warn):
        say(NASTY)
    out.error(RecipeError(NASTY.replace("\n\t", ""), hint="do\x1b\nthis"))
    out.internal_error(ValueError(NASTY))
    out.table(NASTY, [NASTY], [[NASTY]], notes=[NASTY])
    captured = capsys.readouterr()
    joined = SPELLED.replace(r"\n\t", "")
    assert captured.err.splitlines() == [
        SPELLED,
        SPELLED,
        f"warning: {SPELLED}",
        f"error: {joined}",
        r"hint: do\u001b",
        "hint: this",
        f"internal error: ValueError: {SPELLED}",
        "hint: run the command again with -vv to see where",
    ]
    below = [SPELLED, "-" * len(SPELLED), SPELLED, "", SPELLED]
    assert captured.out.splitlines() == [SPELLED, "", *below]


def test_a_result_keeps_its_lines(capsys):
    Output().text("a\tb\n  c\x1b[0m")
    assert capsys.readouterr().out == "a\tb\n  c\\u001b[0m\n"


def test_json_says_the_same_whatever_the_names(capsys):
    Output().json({NASTY: [NASTY]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {NASTY: [NASTY]}
    assert all(char.isprintable() for char in printed.replace("\n", ""))


def test_a_traceback_is_shown_with_vv(capsys):
    def fail():
        raise RecipeError("bad")

    for verbosity, shown in ((1, False), (2, True)):
        with pytest.raises(RecipeError) as caught:
            fail()
        Output(verbosity).error(caught.value)
        assert ("Traceback" in capsys.readouterr().err) is shown


def test_json_refuses_what_json_cannot_say():
    with pytest.raises(ValueError, match="nan"):
        Output().json({"loss": math.nan})


def test_a_table_is_aligned_and_keeps_its_full_width(capsys):
    rows = [["T+H+W", "75.04", "x" * 120], ["T", "9.5 ± 0.1", ""]]
    Output().table("Table 1", ["setting", "top-1", "note"], rows, notes=["synth"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Table 1",
        "",
        "setting      top-1  note",
        "-------  ---------  " + "-" * 120,
        "T+H+W        75.04  " + "x" * 120,
        "T        9.5 ± 0.1",
        "",
        "synth",
    ]


@pytest.mark.parametrize(
    ("cells", "aligned"),
    [
        (["9", "-10.5"], ["    9", "-10.5"]),
        (["9", "not run"], ["      9", "not run"]),
        (["9", "null"], ["9", "null"]),
    ],
)
def test_a_column_of_numbers_stands_right(capsys, cells, aligned):
    Output().table("", ["a", "b"], [["x", cell] for cell in cells])
    rows = capsys.readouterr().out.splitlines()[-len(cells) :]
    assert rows == [f"x  {cell}" for cell in aligned]


def test_a_table_without_rows_or_notes(capsys):
    Output().table("Empty", ["a", "bc"], [])
    assert capsys.readouterr().out == "Empty\n\na  bc\n-  --\n"


def test_away_from_a_terminal_a_bar_is_one_line_an_interval(capsys, clock):
    with Output().bar("epoch 1/6", 100) as bar:
        bar.advance(0)
        for second in range(1, 26):
            clock[0] = float(second)
            bar.advance(2, status="loss 1.5")
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/6  20/100  2/s  0:40 left  loss 1.5",
        "epoch 1/6  40/100  2/s  0:30 left  loss 1.5",
    ]


def test_a_bar_says_what_is_left_when_its_rate_has_settled(capsys, clock, monkeypatch):
    monkeypatch.setattr(output, "LINE_SECONDS", 1.0)
    with Output().bar("epoch 1/6", 100) as bar:
        bar.advance(0)
        for second in (1.0, 4.9, 6.0):
            clock[0] = second
            bar.advance(2)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/6  2/100  2/s",
        "epoch 1/6  4/100  1.2 s each",
        "epoch 1/6  6/100  1/s  1:34 left",
    ]


def test_the_rate_leaves_out_what_a_resumed_run_had_done(capsys, clock):
    with Output().bar("epoch", 7300) as bar:
        bar.advance(90)
        clock[0] = 10.0
        bar.advance(10)
    assert capsys.readouterr().err == "epoch  100/7300  1/s  2:00:00 left\n"


def test_on_a_terminal_a_bar_is_drawn_once_it_has_lasted_and_leaves_nothing(
    capsys, clock, monkeypatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    out = Output()
    with out.bar("short", 10) as bar:
        bar.advance()
    assert capsys.readouterr().err == ""
    with out.bar("outer", 10) as bar:
        clock[0] = 1.0
        bar.advance(4)
        with out.bar("inner", 3) as inner:
            clock[0] = 2.0
            inner.advance(1, status="[loss] \x1b[35m")
            out.text("a result")
        drawn = capsys.readouterr()
    assert drawn.out == "a result\n"
    for text in ("outer", "4/10", "inner", "1/3", r"[loss] \u001b[35m"):
        assert text in drawn.err
    last_line = capsys.readouterr().err.rpartition("\x1b[2K")[2]
    assert "outer" not in last_line


def test_current_is_what_use_set():
    mine = Output(1)
    output.use(mine)
    assert output.current() is mine


def test_what_is_said_at_once_goes_past_every_buffer(capfd):
    Output().at_once("stopping")
    Output(-1).at_once("stopping")
    assert capfd.readouterr().err == "stopping\n"


@pytest.mark.parametrize(
    ("words", "closed", "code"),
    [
        ("recipes", ">&-", 0),
        ("recipes --json", ">&- 2>&-", 0),
        ("recipes gone", "2>&-", 2),
    ],
)
def test_a_stream_that_the_shell_closed_takes_what_is_said(words, closed, code):
    command = f"{shlex.quote(sys.executable)} -m stsm_cli {words} {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


SAYS = """
import os, sys
from stsm_cli.cli.output import Output
console = Output()
{how}
console.message("one")
console.at_once("two")
with console.bar("three", 2) as bar:
    bar.advance()
console.message("four")
print("done")
"""
GONE = "read, write = os.pipe(); os.dup2(write, 2); os.close(read)"
FULL = "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)"


@pytest.mark.parametrize("how", [GONE, FULL])
def test_work_goes_on_when_nobody_listens_any_more(how):
    code = SAYS.format(how=how)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")


DRAWS = """
import os, pty, sys
from stsm_cli.cli import output
terminal, end = pty.openpty()
os.dup2(end, 2)
os.close(end)
output.DRAW_SECONDS = 0
with output.Output().bar("three", 9) as bar:
    bar.advance()
    shown = b""
    while b"three" not in shown:
        shown += os.read(terminal, 9999)
    os.close(terminal)
    for _ in range(8):
        bar.advance()
print("done")
"""


def test_work_goes_on_when_its_terminal_is_lost():
    environment = os.environ | {"TERM": "xterm"}
    command = [sys.executable, "-c", DRAWS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "done\n")
