"""Time, memory, threads and files that decoding takes."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stsm_cli.data import decode
from stsm_cli.data.decode import available_decoders, probe, read_frames
from stsm_cli.errors import DataError

decoders = pytest.mark.parametrize("decoder", available_decoders())


@decoders
def test_a_decoder_that_hangs_is_told(counters, monkeypatch, decoder):
    release = threading.Event()
    for module in ("read_decord", "read_pyav", "probe_pyav"):
        monkeypatch.setattr(decode, module, lambda *args, **options: release.wait())
    monkeypatch.setattr(decode, "DEADLINE_SECONDS", 0.01)
    path = counters / "one.mp4"
    message = r"one\.mp4: decoding stood still for 0 seconds$"
    with pytest.raises(DataError, match=message):
        read_frames(path, np.array([0]), decoder=decoder)
    with pytest.raises(DataError, match=message):
        probe(path)
    release.set()


def test_large_files_get_more_time(tmp_path, monkeypatch):
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(300_000_000)
    given = []
    monkeypatch.setattr(decode, "within", lambda seconds, work: given.append(seconds))
    read_frames(path, None)
    assert given == [decode.DEADLINE_SECONDS + 300]


@decoders
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="needs /proc")
def test_memory_is_flat(counters, decoder):
    def megabytes_after(num_reads):
        for _ in range(num_reads):
            read_frames(counters / "gop12.mp4", np.array([3, 50]), decoder=decoder)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    assert megabytes_after(200) - megabytes_after(50) < 10  # a reader left open: 1 MB a read


@decoders
def test_threads_do_not_disturb_each_other(counters, read_counter, decoder):
    def read(name):
        return read_counter(read_frames(counters / name, None, decoder=decoder))

    names = ["gop12.mp4", "vp8.webm", "one.mp4"] * 8
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(read, names))
    assert numbers == [list(range({"one.mp4": 1}.get(name, 60))) for name in names]


@decoders
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_files_are_closed(counters, decoder):
    def open_videos():
        links = (
            str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()
        )
        return [link for link in links if link.startswith(str(counters))]

    frames = read_frames(counters / "gop12.mp4", np.array([3, 50]), decoder=decoder)
    probe(counters / "vp8.webm")
    assert len(frames) == 2
    assert open_videos() == []


@decoders
def test_odd_names_are_names(tmp_path, counters, decoder):
    path = tmp_path / "ein Käse, 100% – 視頻 'x'.mp4"
    path.write_bytes((counters / "one.mp4").read_bytes())
    assert read_frames(path, None, decoder=decoder).shape == (1, 48, 64, 3)
