import shutil
from collections import namedtuple
from importlib.metadata import metadata, version
from pathlib import Path
from typing import get_args

import pytest
import torch

from stsm_cli.data import decode
from stsm_cli.data.manifest import Manifest, VideoRecord, write_manifest
from stsm_cli.engine import checkups
from stsm_cli.engine.checkups import CHECKS, GB
from stsm_cli.engine.doctor import State, examine

Usage = namedtuple("Usage", ["total", "used", "free"])


def look(name):
    """The finding of one check."""
    (found,) = examine([check for check in CHECKS if check.name == name])
    return found


def broken(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_nothing_is_wrong_where_the_tests_run(check, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 9 * GB))
    monkeypatch.setattr(checkups, "available_memory", lambda: 9 * GB)
    found = look(check.name)
    assert found.state == "ok" or not check.needed
    assert found.state in get_args(State)
    assert bool(found.remedy) == (found.state != "ok")


@pytest.mark.parametrize(
    ("name", "free", "state"),
    [
        ("disk", 0.2 * GB, "failed"),
        ("disk", 3 * GB, "warning"),
        ("disk", 9 * GB, "ok"),
        ("shared memory", 0.06 * GB, "warning"),
        ("shared memory", 2 * GB, "ok"),
    ],
)
def test_room_is_told_with_a_remedy_where_there_is_little(monkeypatch, name, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free))
    found = look(name)
    assert (found.state, bool(found.remedy)) == (state, state != "ok")
    assert f"{free / GB:.1f} GB free" in found.text


@pytest.mark.parametrize(
    ("free", "state"), [(0.5 * GB, "failed"), (2 * GB, "warning"), (8 * GB, "ok"), (None, "ok")]
)
def test_memory(monkeypatch, free, state):
    monkeypatch.setattr(checkups, "available_memory", lambda: free)
    assert look("memory").state == state


def test_a_folder_that_cannot_be_written_fails(monkeypatch):
    error = PermissionError(13, "Permission denied", str(Path.cwd() / "x"))
    monkeypatch.setattr(checkups.tempfile, "TemporaryFile", broken(error))
    disk, temporary = look("disk"), look("temporary files")
    assert (disk.state, temporary.state) == ("failed", "failed")
    assert "Permission denied" in disk.text
    assert "TMPDIR" in temporary.remedy


def test_a_decoder_that_gives_another_frame_fails(monkeypatch):
    read = decode.read_pyav
    wrong = lambda path, wanted, *rest, **options: read(path, wanted - 1, *rest, **options)  # noqa: E731
    monkeypatch.setattr(decode, "read_pyav", wrong)
    found = look("decoders")
    assert (found.state, found.text) == ("failed", "pyav gives frames [ 8.  1. 10.] for [ 9  2 11]")


def test_a_decoder_that_loses_frames_fails(monkeypatch):
    probe = decode.probe_pyav

    def short(path):
        info = probe(path)
        return type(info)(info.num_frames - 1, info.fps, info.width, info.height)

    monkeypatch.setattr(decode, "probe_pyav", short)
    assert look("decoders").text == "of a clip of 12 frames 11 decode"


def test_packages_of_two_builds_fail(monkeypatch):
    monkeypatch.delattr(torch.ops.torchvision, "nms", raising=False)
    monkeypatch.setattr(type(torch.ops.torchvision), "__getattr__", broken(AttributeError("nms")))
    found = look("PyTorch")
    assert found.state == "failed"
    assert found.text.endswith("which are of two builds")


def test_a_step_without_a_gradient_fails(monkeypatch):
    from stsm_cli.models.network import Network

    monkeypatch.setattr(Network, "forward", lambda self, videos: 0 * self.fc.weight)
    found = look("training step")
    assert (found.state, found.text) == ("failed", "the gradient on cpu is 0.0")


@pytest.mark.parametrize(
    ("cuda", "told"),
    [(None, "this PyTorch is built without CUDA"), ("13.2", "PyTorch (CUDA 13.2) cannot use")],
)
def test_an_idle_gpu_is_told(monkeypatch, cuda, told):
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda p: p == Path("/dev/nvidiactl") or exists(p))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    found = look("device")
    assert found.state == "warning"
    assert told in found.text


def test_a_cache_that_cannot_be_written_is_told(monkeypatch):
    monkeypatch.setattr(checkups.os, "access", lambda *_: False)
    found = look("caches")
    assert found.state == "warning"
    assert found.remedy == "set TORCH_HOME to a folder that can be written"


def test_data_sets_are_found_and_broken_ones_told():
    assert look("data sets").text.startswith("none in data/")
    record = VideoRecord("a.mp4", 1, 8, 8.0, 20, 20)
    for root in (Path("data/good"), Path("data/moved"), Path("data/torn")):
        for split in ("train", "val"):
            write_manifest(Manifest(root, split, ("a", "b"), (record, record)))
        (root / "a.mp4").touch()
    Path("data/moved/a.mp4").unlink()
    Path("data/torn/manifest/val.csv").unlink()
    found = look("data sets")
    assert found.state == "warning"
    good, moved, torn = found.text.split("; ")
    assert good == "good (2 + 2 videos, 2 classes)"
    assert moved == "data/moved: a.mp4 is not there"
    assert torn.startswith("FileNotFoundError: ")


def test_a_data_set_may_have_names_of_all_kinds():
    record = VideoRecord('x, "y"/a.mp4', 0, 8, 8.0, 20, 20)
    for split in ("train", "val"):
        write_manifest(Manifest(Path("data/odd"), split, ('x, "y"',), (record,)))
    Path("data/odd", record.path).parent.mkdir()
    Path("data/odd", record.path).touch()
    Path("data/odd/manifest/val.csv").write_bytes(b"")
    assert look("data sets").text == "odd (1 + 0 videos, 1 classes)"


def test_extras_that_are_absent_are_no_fault(monkeypatch):
    monkeypatch.setattr(checkups, "EXTRAS", {"flying": (("pytest",), ("no-such-package",))})
    found = look("extras")
    assert found.text == "to have more: `pip install 'stsm[flying]'`"
    assert found.state == "ok"


def test_extras_are_told_by_their_packages(monkeypatch):
    declared = metadata("stsm").get_all("Provides-Extra")
    assert set(checkups.EXTRAS) == set(declared) - {"test", "dev", "docs"}
    monkeypatch.setattr(checkups, "EXTRAS", {"running": (("pytest",), ("none", "numpy"))})
    told = f"running (pytest {version('pytest')}, numpy {version('numpy')})"
    assert look("extras").text == told
