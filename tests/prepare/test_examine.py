import importlib
import os
from dataclasses import replace

import pytest

from stsm_cli.errors import InterruptedRunError, PreemptedError, TerminatedExit
from stsm_cli.prepare import examine as examine_module
from stsm_cli.prepare.check import MISSING, Check
from stsm_cli.prepare.examine import FULL, examine, reencoding, verification
from stsm_cli.prepare.ledger import FileVersion, Ledger
from stsm_cli.prepare.transcode import Encoding
from stsm_cli.progress import SILENT

LOOK = """
import os, signal
from pathlib import Path
from stsm_cli.prepare.check import Check

def look(file, alive):
    with Path("looked.txt").open("a") as log:
        log.write(file + "\\n")
    if file == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if file == "memory":
        os.kill(os.getpid(), signal.SIGKILL)
    if file == "unreadable":
        return Check("corrupt", "does not open (Permission denied)", lasting=False)
    return Check("ok", "", 8, 25.0, 32, 32)
"""
OK = Check("ok", "", 8, 25.0, 32, 32)


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A task that notes what it looks at, and fails by the file's name."""
    (tmp_path / "looks.py").write_text(LOOK)
    monkeypatch.syspath_prepend(tmp_path)
    work = importlib.import_module("looks").look
    return replace(verification(tmp_path, quick=False), work=work)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a", "b", "crash", "memory", "unreadable"):
        (folder / name).write_text(name)
    (folder / "empty").touch()
    return folder


def looked_at(tmp_path):
    """What was looked at since the last time this was asked."""
    log = tmp_path / "looked.txt"
    files = sorted(log.read_text().split()) if log.exists() else []
    log.unlink(missing_ok=True)
    return files


def test_each_file_is_judged_and_looked_at_once(tmp_path, root, task):
    paths = ["a", "gone", "crash", "memory", "empty", "unreadable", "b", "a"]
    checks = examine(root, paths, task, workers=1)
    assert checks == {
        "a": OK,
        "b": OK,
        "gone": MISSING,
        "empty": Check("corrupt", "is empty"),
        "crash": Check("corrupt", "the decoder crashed (SIGSEGV)"),
        "memory": Check("corrupt", "its process was killed (SIGKILL)", lasting=False),
        "unreadable": Check("corrupt", "does not open (Permission denied)", lasting=False),
    }
    assert looked_at(tmp_path) == ["a", "b", "crash", "memory", "unreadable"]
    again = examine(root, paths, task, workers=1)
    assert again == checks
    assert looked_at(tmp_path) == ["memory", "unreadable"]  # these may do better this time


def test_what_is_wrong_from_outside_is_judged_without_opening(tmp_path, root, task):
    (root / "circle").symlink_to(root / "circle")
    (root / "nowhere").symlink_to(root / "none")
    (root / "folder").mkdir()
    (root / "c\rd").write_text("x")
    os.mkfifo(root / "pipe")
    is_none = Check("corrupt", "is no file but a folder, a pipe, a socket or a device")
    too_long = "n" * 300
    paths = ["circle", "nowhere", "folder", "pipe", "c\rd", too_long, "a"]
    assert examine(root, paths, task, workers=1) == {
        "circle": Check(
            "corrupt", "cannot be read (Too many levels of symbolic links)", lasting=False
        ),
        "nowhere": Check("missing", "is a link that leads nowhere"),
        "folder": is_none,
        "pipe": is_none,
        "c\rd": Check("corrupt", "its path holds a line break, which lists cannot"),
        too_long: Check("corrupt", "cannot be read (File name too long)", lasting=False),
        "a": OK,
    }
    assert looked_at(tmp_path) == ["a"]


@pytest.mark.parametrize("quick", [False, True])
def test_an_error_of_the_disk_while_verifying_is_the_files(root, monkeypatch, quick):
    def refuse(root, path, alive, **_):
        raise OSError(13, "Permission denied", path)

    monkeypatch.setattr(examine_module, "verify", refuse)
    monkeypatch.setattr(examine_module, "verify_quick", refuse)
    check = verification(root, quick=quick).work("a", lambda: None)
    assert check == Check("corrupt", "cannot be read (Permission denied)", lasting=False)


def test_a_file_that_was_changed_is_looked_at_again(tmp_path, root, task):
    examine(root, ["a", "b"], task, workers=1)
    (root / "a").write_text("longer")
    os.utime(root / "b", ns=(1, 1))
    looked_at(tmp_path)
    examine(root, ["a", "b"], task, workers=1)
    assert looked_at(tmp_path) == ["a", "b"]


def test_a_quick_look_does_not_stand_for_a_full_one(tmp_path, root, task):
    quick = replace(verification(root, quick=True), work=task.work)
    full = replace(verification(root, quick=False), work=task.work)
    examine(root, ["a"], quick, workers=1)
    examine(root, ["a"], full, workers=1)
    assert looked_at(tmp_path) == ["a", "a"]
    examine(root, ["a"], quick, workers=1)
    assert looked_at(tmp_path) == []


def test_a_video_made_stands_while_it_is_as_it_was_made(root):
    believed = reencoding(root, Encoding(32)).believed
    assert list(believed) == ["videos_32g16 crf 20", FULL]
    is_made, is_broken = believed.values()
    made = root / "videos_32g16" / "a.mp4"
    check, broken = replace(OK, made_bytes=4), Check("corrupt", "frame 3 is damaged")
    assert not is_made("a.avi", check)
    made.parent.mkdir()
    made.write_text("four")
    assert is_made("a.avi", check)
    made.write_text("other")
    assert not is_made("a.avi", check)
    assert not is_made("a.avi", broken)  # that is another's verdict
    assert is_broken("a.avi", broken)
    assert not is_broken("a.avi", OK)  # verified, but never re-encoded


@pytest.mark.parametrize("how", ["videos_32g16 crf 20", "full"])
def test_what_a_reencoding_of_before_called_corrupt_is_looked_at_again(tmp_path, root, task, how):
    task = replace(reencoding(root, Encoding(32)), work=task.work)
    status = (root / "a").stat()
    source = FileVersion("a", status.st_size, status.st_mtime_ns)
    with Ledger(root / "manifest" / "ledger.jsonl") as ledger:
        ledger.add(source, how, Check("corrupt", "frame 3 is damaged"))
    examine(root, ["a"], task, workers=1)
    assert looked_at(tmp_path) == ["a"]


def test_a_video_that_is_broken_is_so_in_every_way(tmp_path, root, task):
    examine(root, ["crash"], replace(reencoding(root, Encoding(32)), work=task.work), workers=1)
    looked_at(tmp_path)
    for quick in (False, True):
        look = replace(verification(root, quick=quick), work=task.work)
        assert examine(root, ["crash"], look, workers=1)["crash"].status == "corrupt"
    assert looked_at(tmp_path) == []


class Stopped:
    """A bar at whose second advance `error` is raised."""

    message = SILENT.message
    advances = 0

    def __init__(self, error):
        self.error = error

    def bar(self, label, total):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def advance(self, steps=1, status=""):
        self.advances += 1
        if self.advances == 3:
            raise self.error


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        (KeyboardInterrupt, InterruptedRunError, "^interrupted: 2 of 3 videos are done$"),
        (TerminatedExit, PreemptedError, "^stopped by SIGTERM: 2 of 3 videos are done$"),
    ],
)
def test_a_signal_keeps_what_was_found_and_says_how_to_go_on(
    tmp_path, root, task, told, error, message
):
    with pytest.raises(error, match=message) as caught:
        examine(root, ["a", "b", "crash"], task, workers=1, progress=Stopped(told()))
    assert "run the same command again" in caught.value.hint
    looked_at(tmp_path)
    assert len(examine(root, ["a", "b", "crash"], task, workers=1)) == 3
    assert looked_at(tmp_path) == ["crash"]


def test_a_full_disk_is_an_error_and_not_the_videos_fault(root, task):
    (root / "manifest").write_text("a file where the ledger's folder should be")
    with pytest.raises(FileExistsError, match="manifest"):
        examine(root, ["a"], task, workers=1)


@pytest.mark.parametrize("quick", [False, True])
def test_what_a_verification_of_before_found_is_not_believed(tmp_path, quick):
    (tmp_path / "clip.mp4").write_text("no video")
    file = tmp_path / "manifest" / "ledger.jsonl"
    status = (tmp_path / "clip.mp4").stat()
    source = FileVersion("clip.mp4", status.st_size, status.st_mtime_ns)
    with Ledger(file) as ledger:
        ledger.add(source, "quick" if quick else "full", OK)
    task = verification(tmp_path, quick=quick)
    assert examine(tmp_path, ["clip.mp4"], task, workers=1)["clip.mp4"].status == "corrupt"
    assert Ledger(file).find(source, FULL).status == "corrupt"
