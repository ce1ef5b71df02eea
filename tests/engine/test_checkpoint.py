import errno
import io
import pickle
import zipfile
from pathlib import Path
from zipfile import ZIP_DEFLATED

import pytest
import torch

from stsm_cli.engine.checkpoint import copy_checkpoint, load_checkpoint, save_checkpoint
from stsm_cli.errors import CheckpointError


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_round_trip(tmp_path):
    state = {"weights": torch.arange(3.0), "epoch": 2, "name": "a", "nested": {"x": [1, 2]}}
    save_checkpoint(tmp_path / "last.pt", state)
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: cannot be read \(No such file"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_flipped_bit_is_found(tmp_path):
    path, weights = tmp_path / "last.pt", torch.arange(1000.0)
    save_checkpoint(path, {"recipe_hash": "a", "random": [], "weights": weights})
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes()) + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint \(damaged: \w+/data/0\)"):
        load_checkpoint(path)


@pytest.mark.parametrize("offset", [6, 28])  # the version that reads it; a name, as no UTF-8
def test_a_damaged_header_is_no_internal_error(tmp_path, offset):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"recipe_hash": "a", "random": [], "weights": torch.arange(100.0)})
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + offset] ^= 0x80
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 1, 100, 600])
def test_truncated(tmp_path, keep):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.arange(100.0)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"last\.pt: not a readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"hello world", b"\x80\x02}q\x00", b"\xff" * 40])
def test_anything_else(tmp_path, content):
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.pt: not a readable checkpoint"):
        load_checkpoint(tmp_path / "last.pt")


def test_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be read \(not a file\)"):
        load_checkpoint(tmp_path)


def test_the_reason_is_in_words(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"\x93\x00\x01\x02")
    reason = r"not a readable checkpoint \(not written by torch\.save, or damaged\)"
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(tmp_path / "last.pt")


def test_not_a_dict(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"list\.pt: not a checkpoint, holds list"):
        load_checkpoint(tmp_path / "list.pt")


def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Path("evil.pt").open("wb") as file:
        pickle.dump({"model": Malicious()}, file, protocol=2)
    with pytest.raises(CheckpointError, match=r"evil\.pt: refused, since it asks for"):
        load_checkpoint(Path("evil.pt"))
    assert not Path("executed").exists()


def test_a_disk_that_fails_is_named(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    save_checkpoint(tmp_path / "last.pt", {"epoch": 1})
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(CheckpointError, match=r"readable checkpoint \(Input/output error\)"):
        load_checkpoint(tmp_path / "last.pt")


def test_it_takes_no_more_memory_than_its_file(tmp_path):
    path, packed = tmp_path / "last.pt", tmp_path / "packed.pt"
    save_checkpoint(path, {"model": {"fc.weight": torch.zeros(1000, 1000)}})
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    with pytest.raises(CheckpointError, match=r"packed\.pt: refused, since \d+ bytes would become"):
        load_checkpoint(packed)
    save_checkpoint(path, {"model": {"fc.weight": torch.zeros(1).expand(10**6, 10**6)}})
    with pytest.raises(CheckpointError, match=r"last\.pt: fc\.weight .* more than the whole file"):
        load_checkpoint(path)


class FullDisk(io.RawIOBase):
    """A file that takes the first `room` bytes."""

    def __init__(self, room):
        self.room = room

    def writable(self):
        return True

    def write(self, content):
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(content)


@pytest.mark.parametrize("room", [0, 100, 1000, 5000])  # torch tells of it in several ways
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch, room):
    path = tmp_path / "my run" / "checkpoints" / "last.pt"
    path.parent.mkdir(parents=True)
    save_checkpoint(path, {"epoch": 1})
    real = torch.save
    monkeypatch.setattr(torch, "save", lambda state, file: real(state, FullDisk(room)))
    with pytest.raises(CheckpointError, match=r"last\.pt: cannot be written \(No space left") as e:
        save_checkpoint(path, {"weights": torch.zeros(10_000)})
    assert e.value.hint == (
        "what was there before is whole; make room, then go on: `stsm train --resume --out "
        f"'{tmp_path}/my run'`, or the same `stsm ablate` again"
    )
    assert load_checkpoint(path) == {"epoch": 1}
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_what_torch_cannot_save_is_no_error_of_the_disk(tmp_path, monkeypatch):
    def fail(state, file):
        raise RuntimeError("a bug")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        save_checkpoint(tmp_path / "last.pt", {})


def test_a_copy_is_whole_or_the_old_one(tmp_path, monkeypatch):
    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    save_checkpoint(last, {"epoch": 1})
    copy_checkpoint(last, best)
    save_checkpoint(last, {"epoch": 2})
    assert load_checkpoint(best) == {"epoch": 1}

    def full(source, target, length):
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(CheckpointError, match=r"best\.pt: cannot be written \(No space left"):
        copy_checkpoint(last, best)
    assert load_checkpoint(best) == {"epoch": 1}
    assert {p.name for p in tmp_path.iterdir()} == {"last.pt", "best.pt"}


def test_a_source_that_cannot_be_read_is_named_and_not_the_copy(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"old")
    with pytest.raises(CheckpointError, match=r"last\.pt: cannot be read \(No such file") as caught:
        copy_checkpoint(tmp_path / "last.pt", tmp_path / "best.pt")
    assert caught.value.hint is None
    assert (tmp_path / "best.pt").read_bytes() == b"old"
