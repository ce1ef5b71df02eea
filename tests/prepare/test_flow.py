import json
import signal
import subprocess
import sys
from types import SimpleNamespace

import av
import numpy as np
import pytest

from stsm_cli.data.flow import QUANTUM_PX, as_pixels, flow_path, read_fields
from stsm_cli.data.flow_report import check_flow, check_flow_files
from stsm_cli.data.manifest import Manifest, VideoRecord, read_manifest, write_manifest
from stsm_cli.errors import DataError
from stsm_cli.prepare import flow_file
from stsm_cli.prepare.check import Check
from stsm_cli.prepare.flow import check_some, prepare_flow, sentences
from stsm_cli.prepare.flow_file import FlowSettings, make_flow
from stsm_cli.progress import SILENT

SIZE = (48, 32)  # width, height


def encode(path, *, num_frames=6, step=2, size=SIZE):
    """Stripes and blobs that move to the right by `step` pixels a frame."""
    width, height = size
    noise = np.random.default_rng(0).normal(size=(height, width))
    bands = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * 6
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-(bands**2))).real
    picture = np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"qp": "4"})
        stream.width, stream.height = size
        for number in range(num_frames):
            grey = np.roll(picture, step * number, 1)
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, -1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def prepared(tmp_path):
    """A prepared set of three videos, one of which has one frame."""
    root = tmp_path / "data"
    lengths = {"train": {"a/0.mp4": 6, "b/1.avi": 1}, "val": {"a/2.mp4": 4}}
    for split, videos in lengths.items():
        records = [VideoRecord(path, 0, n, 8.0, *SIZE) for path, n in videos.items()]
        write_manifest(Manifest(root, split, ("a", "b"), records))
        for path, num_frames in videos.items():
            encode(root / path, num_frames=num_frames)
    return root


def made(root, method="dis"):
    """The contents of all files of flow."""
    folder = root / f"flow_{method}"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_set_to_test_on_alone_gets_its_flow(prepared):
    write_manifest(Manifest(prepared, "train", ("a", "b"), []))
    report = prepare_flow(prepared, FlowSettings(), workers=1)
    assert set(made(prepared)) == {"a/2.mp4.mp4"}
    assert list(report["splits"]) == ["val"]


def test_every_video_gets_its_flow_and_one_of_one_frame_is_listed(prepared):
    report = prepare_flow(prepared, FlowSettings(), workers=1)
    assert set(made(prepared)) == {"a/0.mp4.mp4", "a/2.mp4.mp4"}
    assert report["splits"]["train"]["usable"] == 1
    assert report["splits"]["train"]["short"] == 1
    assert report["splits"]["val"]["usable"] == 1
    assert report["without_flow"] == {"train": ["b/1.avi"], "val": []}
    assert report["fields"] == 5 + 3
    assert json.loads((prepared / "manifest" / "flow_dis.json").read_text()) == report
    assert (prepared / "manifest" / "flow_dis_problems.csv").read_text() == (
        "video,split,status,reason\nb/1.avi,train,short,"
        '"holds one frame, and flow is between two"\n'
    )


def test_flow_is_in_pixels_of_what_moves(prepared):
    check = make_flow(prepared, FlowSettings(), "a/0.mp4", lambda: None)
    path = prepared / flow_path("dis", "a/0.mp4")
    assert check == Check("ok", "", 5, 8.0, *SIZE, made_bytes=path.stat().st_size)
    moved = as_pixels(read_fields(path, None))[:, 8:-8, 8:-8]
    assert np.abs(np.median(moved, (1, 2)) - [2, 0]).max() < 0.1 + QUANTUM_PX / 2


def test_large_videos_are_made_smaller_first(prepared):
    settings = FlowSettings(short_side_px=16)
    check = make_flow(prepared, settings, "a/0.mp4", lambda: None)
    assert (check.width, check.height) == (24, 16)
    fields = read_fields(prepared / flow_path("dis", "a/0.mp4"), None)
    assert fields.shape == (5, 16, 24, 2)


def test_what_is_there_is_kept_and_other_settings_make_it_anew(prepared, monkeypatch):
    prepare_flow(prepared, FlowSettings(), workers=1)
    before = made(prepared)
    times = {p: p.stat().st_mtime_ns for p in prepared.glob("flow_dis/*/*")}
    assert prepare_flow(prepared, FlowSettings(), workers=1)["fields"] == 8
    assert times == {p: p.stat().st_mtime_ns for p in prepared.glob("flow_dis/*/*")}
    (prepared / "flow_dis" / "a" / "2.mp4.mp4").unlink()
    prepare_flow(prepared, FlowSettings(), workers=1)
    assert made(prepared) == before
    prepare_flow(prepared, FlowSettings(short_side_px=16), workers=1)
    assert made(prepared).keys() == before.keys()
    assert made(prepared) != before
    prepare_flow(prepared, FlowSettings(short_side_px=512), workers=1)  # videos keep their size
    assert made(prepared) == before


def test_that_flow_of_another_size_is_replaced_is_said(prepared):
    lines = []
    said = SimpleNamespace(message=lines.append, bar=SILENT.bar)
    for size in (24, 24, 16):
        assert lines == []
        prepare_flow(prepared, FlowSettings(short_side_px=size), workers=1, progress=said)
    told = "there is flow of a short side of at most 24 pixels; it is computed anew for 16"
    assert lines[0].startswith(told)


def test_methods_lie_side_by_side(prepared):
    for method in ("dis", "farneback"):
        prepare_flow(prepared, FlowSettings(method), workers=1)
    assert set(made(prepared, "dis")) == set(made(prepared, "farneback"))
    assert made(prepared, "dis") != made(prepared, "farneback")


def test_the_files_do_not_depend_on_the_number_of_workers(prepared):
    prepare_flow(prepared, FlowSettings(), workers=1)
    before = made(prepared)
    for path in prepared.glob("flow_dis/*/*"):
        path.unlink()
    prepare_flow(prepared, FlowSettings(), workers=2)
    assert made(prepared) == before


def test_a_video_without_flow_is_no_broken_video(prepared):
    prepare_flow(prepared, FlowSettings(), workers=1)
    entries = (prepared / "manifest" / "ledger.jsonl").read_text().splitlines()
    assert {json.loads(line)["how"] for line in entries} == {FlowSettings().how}


def test_a_corrupt_video_has_none_and_its_old_flow_goes(prepared):
    prepare_flow(prepared, FlowSettings(), workers=1)
    (prepared / "a" / "0.mp4").write_text("no video")
    report = prepare_flow(prepared, FlowSettings(), workers=1)
    assert set(made(prepared)) == {"a/2.mp4.mp4"}
    assert report["splits"]["train"]["corrupt"] == 1
    with pytest.raises(DataError, match="train: none of 2 videos has flow") as caught:
        check_some(report)
    assert "flow_dis_problems.csv" in caught.value.hint


def test_flow_that_is_not_read_as_written_is_not_kept(prepared, monkeypatch):
    read = flow_file.read_fields
    monkeypatch.setattr(flow_file, "read_fields", lambda path, part: read(path, part) ^ 1)
    check = make_flow(prepared, FlowSettings(), "a/0.mp4", lambda: None)
    assert (check.status, check.reason) == ("corrupt", "its flow is not read as written")
    assert made(prepared) == {}


def test_there_is_no_report_while_it_is_made(prepared, monkeypatch):
    prepare_flow(prepared, FlowSettings(), workers=1)
    report = prepared / "manifest" / "flow_dis.json"
    (prepared / "flow_dis" / "a" / "2.mp4.mp4").unlink()
    monkeypatch.setattr("stsm_cli.prepare.flow.examine", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_flow(prepared, FlowSettings(), workers=1)
    assert not report.exists()


def test_a_video_whose_flow_another_attempt_may_give_is_told(prepared, monkeypatch):
    lost, ok = Check("corrupt", "killed", lasting=False), Check("ok", "", 5, 8.0, 32, 32, 9)
    monkeypatch.setattr(
        "stsm_cli.prepare.flow.examine",
        lambda root, paths, task, **_: dict.fromkeys(paths, ok) | {"a/2.mp4": lost},
    )
    told = "(time, memory, disk); the same command tries them again: 1"
    assert told in "\n".join(sentences(prepare_flow(prepared, FlowSettings(), workers=1)))


def _interrupted(*arguments, **options):
    raise KeyboardInterrupt


def test_a_set_that_is_prepared_again_meanwhile_is_another(prepared, monkeypatch):
    def examine(root, paths, task, **options):
        record = VideoRecord("b/1.avi", 1, 1, 8.0, *SIZE)
        write_manifest(Manifest(prepared, "val", ("a", "b"), [record]))
        return dict.fromkeys(paths, Check("short", "holds one frame"))

    monkeypatch.setattr("stsm_cli.prepare.flow.examine", examine)
    prepare_flow(prepared, FlowSettings(), workers=1)
    with pytest.raises(DataError, match="by dis is of another list of val videos than the"):
        check_flow(prepared, "dis")


def test_of_a_video_that_is_replaced_flow_is_made_again(prepared):
    prepare_flow(prepared, FlowSettings(), workers=1)
    before = made(prepared)
    manifest = read_manifest(prepared, "train")
    assert "a/0.mp4" in {record.path for record in manifest.records}
    check_flow_files(manifest, "dis")
    encode(prepared / "a/0.mp4", step=-3)
    with pytest.raises(DataError, match=r"files of its train videos have changed since"):
        check_flow_files(manifest, "dis")
    prepare_flow(prepared, FlowSettings(), workers=1)
    check_flow_files(manifest, "dis")
    changed = {path for path, content in made(prepared).items() if before[path] != content}
    assert changed == {"a/0.mp4.mp4"}


def test_a_test_split_has_flow_too(prepared):
    record = VideoRecord("c/3.mp4", 0, 3, 8.0, *SIZE)
    write_manifest(Manifest(prepared, "test", ("a", "b"), [record]))
    encode(prepared / "c/3.mp4", num_frames=3)
    report = prepare_flow(prepared, FlowSettings(), workers=1)
    assert list(report["splits"]) == ["train", "val", "test"]
    assert "c/3.mp4.mp4" in made(prepared)


def test_a_set_that_is_not_prepared_is_told(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such data root"):
        prepare_flow(tmp_path / "nowhere", FlowSettings(), workers=1)


# Flow is made, and its process is killed with the first field written.
KILLED = """
import os, signal, sys
from pathlib import Path
from stsm_cli.prepare.flow_file import FlowSettings, make_flow
from stsm_cli.progress import SILENT

kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
make_flow(Path(sys.argv[1]), FlowSettings(), "a/0.mp4", kill)
"""


def test_a_killed_process_leaves_no_half_file_under_the_name(prepared):
    done = subprocess.run([sys.executable, "-c", KILLED, str(prepared)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [name for name in made(prepared) if not name.endswith(".tmp")] == []
    prepare_flow(prepared, FlowSettings(), workers=1)
    assert set(made(prepared)) == {"a/0.mp4.mp4", "a/2.mp4.mp4"}
