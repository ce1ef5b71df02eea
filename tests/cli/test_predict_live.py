import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import av
import pytest

from stsm_cli.cli.app import run
from stsm_cli.data import live
from stsm_cli.data.synth import CLASSES
from stsm_cli.engine.live import WindowLooker

A = "data/synth/val/00000.mp4"


class Quiet(SimpleHTTPRequestHandler):
    """Files, without a log."""

    def log_message(self, *_):
        pass


@pytest.fixture
def address(small_run):
    """The address of the folder of a data set's videos."""
    handler = partial(Quiet, directory=str(Path("data/synth/val").resolve()))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def pattern(small_run, monkeypatch):
    """A test pattern of two seconds in place of a camera."""
    if "lavfi" not in av.formats_available:
        pytest.skip("FFmpeg without lavfi")
    place = "testsrc=size=40x32:rate=25:duration=2"
    source = live.Source("--camera 0", place, "lavfi")
    monkeypatch.setattr(live, "camera", lambda _: source)
    monkeypatch.setattr(live.LiveVideo, "is_endless", False)  # as if it came in time


def test_the_scores_of_an_address_are_lines_of_json(address, capsys):
    assert run(["predict", f"{address}/00000.mp4", "--window", "8", "--json", "--top", "2"]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["frames"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert {line["schema"] for line in lines} == {"stsm.live/1"}
    assert {line["source"] for line in lines} == {f"{address}/00000.mp4"}
    assert {line["dropped"] for line in lines} == {0}
    assert lines[-1]["seconds"] == 0.688
    assert [entry["class"] in CLASSES for entry in lines[0]["classes"]] == [True, True]
    assert f"{address}/00000.mp4: 12 frames, " in err


def test_an_address_without_a_video_is_one_line(address, capsys):
    assert run(["predict", f"{address}/gone.mp4"]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert error.startswith(f"error: {address}/gone.mp4: cannot be opened (")
    assert "404" in error


@pytest.mark.usefixtures("pattern")
def test_off_a_terminal_a_camera_is_a_line_a_second(capsys):
    assert run(["predict", "--camera", "0", "--top", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["0:01", "0:02"]
    assert lines[0].count("%") == 2
    assert "frames/s" in lines[0]
    assert "--camera 0: 50 frames, " in err


@pytest.mark.usefixtures("pattern")
def test_a_camera_is_left_after_so_many_seconds(capsys):
    assert run(["predict", "--camera", "0", "--seconds", "0.5", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.usefixtures("pattern")
def test_on_a_terminal_bars_are_drawn(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert run(["predict", "--camera", "0", "--top", "1"]) == 0
    out = capsys.readouterr().out
    assert "--camera 0  0:02" in out
    assert "█" in out
    assert "Ctrl-C ends it" in out


@pytest.mark.usefixtures("pattern")
def test_what_is_dropped_is_told(monkeypatch, capsys):
    monkeypatch.setattr(live.Pending, "__init__", _that_drops(live.Pending.__init__))
    assert run(["predict", "--camera", "0"]) == 0
    assert "33 % of the frames dropped" in capsys.readouterr().err


def _that_drops(begin):
    def begin_late(self, *words, **keys):
        begin(self, *words, **keys)
        self.num_dropped = 25

    return begin_late


@pytest.mark.usefixtures("pattern")
def test_ctrl_c_ends_it_with_a_last_line(monkeypatch, capsys):
    score, scored = WindowLooker.score, []

    def interrupted(self):
        if scored:
            raise KeyboardInterrupt
        scored.append(self)
        return score(self)

    monkeypatch.setattr(WindowLooker, "score", interrupted)
    assert run(["predict", "--camera", "0"]) == 130
    assert "--camera 0: 16 frames, " in capsys.readouterr().err


@pytest.mark.usefixtures("pattern")
def test_a_silent_camera_is_told(monkeypatch, capsys):
    monkeypatch.setattr(live.LiveVideo, "frames", lambda _: iter(()))
    assert run(["predict", "--camera", "0"]) == 0
    assert "--camera 0: no frame came" in capsys.readouterr().err


@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no video is named"),
        ([A, "--seconds", "3"], "--seconds 3: belongs to a camera or a stream"),
        (["--camera", "0", "--seconds", "nan"], "--seconds"),  # Typer, since 0.27
        (["--camera", "0", A], "--camera 0: is looked at alone, without other videos"),
        (["http://a", A], "http://a: is looked at alone, without other videos"),
        (["http://a", "--camera", "0"], "--camera 0: is looked at alone"),
        (["http://a", "--demo"], "http://a: is looked at alone"),
        (["http://a", "--crops", "3"], "http://a: goes on, without --save, --force, --clips"),
        (["--camera", "0", "--save", "out"], "--camera 0: goes on, without --save"),
    ],
)
def test_what_does_not_go_with_a_stream_is_told(capsys, words, message):
    assert run(["predict", *words]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert f"error: {message}" in errors[0]
