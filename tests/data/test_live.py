import re
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import av
import numpy as np
import pytest

from stsm_cli.data import live
from stsm_cli.data.decode import read_frames
from stsm_cli.data.live import LiveVideo, Pending, Source, camera, is_address, stream
from stsm_cli.errors import DataError, UsageError

A = Path("data/synth/val/00000.mp4")


def opening(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(av, "open", fail)


@pytest.mark.usefixtures("small_run")
def test_a_stream_that_ends_has_the_frames_of_the_file():
    video = LiveVideo(stream(str(A)))
    assert not video.is_endless
    found = list(video.frames())
    assert [seconds for seconds, _ in found] == pytest.approx([i / 16 for i in range(12)])
    assert np.array_equal(np.stack([frame for _, frame in found]), read_frames(A, None))


@pytest.mark.skipif("lavfi" not in av.formats_available, reason="FFmpeg without lavfi")
def test_a_device_has_no_end_that_is_known():
    video = LiveVideo(Source("pattern", "testsrc=size=32x24:rate=25:duration=1", "lavfi"))
    assert video.is_endless
    found = list(video.frames())
    assert (len(found), found[0][1].shape) == (25, (24, 32, 3))


@pytest.mark.parametrize(
    ("system", "name", "place", "device"),
    [
        ("linux", "0", "/dev/video0", "v4l2"),
        ("linux", "/dev/v4l/by-id/door", "/dev/v4l/by-id/door", "v4l2"),
        ("darwin", "1", "1", "avfoundation"),
        ("win32", "USB Camera", "video=USB Camera", "dshow"),
    ],
)
def test_cameras_by_system(system, name, place, device):
    found = camera(name, system)
    assert (found.name, found.place, found.format) == (f"--camera {name}", place, device)


@pytest.mark.parametrize(
    ("system", "says"),
    [
        ("win32", "--camera 0: cameras have names on Windows, not numbers"),
        ("plan9", "--camera 0: plan9 has no cameras that are known here"),
    ],
)
def test_a_system_without_numbered_cameras_is_told(system, says):
    with pytest.raises(UsageError, match=says):
        camera("0", system)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("http://a/b.mp4", True), ("rtsp://a", True), ("a.mp4", False), ("C://a.mp4", False)],
)
def test_addresses_are_told_from_files(text, wanted):
    assert is_address(text) == wanted


def test_a_password_is_in_no_message():
    source = stream("rtsp://me:s@cret@192.0.2.7:554/door@2?a=b@c")
    assert source.name == "rtsp://192.0.2.7:554/door@2?a=b@c"
    assert source.place == "rtsp://me:s@cret@192.0.2.7:554/door@2?a=b@c"


def test_a_stream_by_rtsp_comes_whole():
    assert stream("rtsp://a").options["rtsp_transport"] == "tcp"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (stream("http://127.0.0.1:9/a"), "http://127.0.0.1:9/a: cannot be opened (.*refused"),
        (stream("none://a"), "none://a: cannot be opened (Protocol not found"),
        (Source("--camera 0", "0", "eyes"), "--camera 0: cannot be opened (no container format"),
        (stream("text.txt"), "text.txt: cannot be opened (Invalid data"),
    ],
)
def test_what_does_not_open_is_one_line(source, says):
    Path("text.txt").write_text("no video")
    with pytest.raises(DataError, match=re.escape(says).replace(r"\.\*", ".*")):
        LiveVideo(source)


def test_a_file_of_sound_is_told(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 80), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with pytest.raises(DataError, match=r"a\.wav: holds no video"):
        LiveVideo(stream(str(path)))


@pytest.mark.parametrize(
    ("error", "devices", "hint"),
    [
        (av.error.PermissionError(13, "Permission denied"), [], "usermod -aG video"),
        (av.error.FileNotFoundError(2, "No such file"), ["video2", "video0"], "there are 0, 2"),
        (av.error.FileNotFoundError(2, "No such file"), [], "no camera is connected"),
        (av.error.OSError(16, "Device or resource busy"), [], None),
    ],
)
def test_the_cure_where_a_camera_does_not_open(monkeypatch, error, devices, hint):
    opening(monkeypatch, error)
    monkeypatch.setattr(Path, "glob", lambda *_: [Path("/dev", name) for name in devices])
    says = f"--camera 7: cannot be opened \\({error.strerror}\\)"
    with pytest.raises(DataError, match=says) as told:
        LiveVideo(camera("7", "linux"))
    assert (told.value.hint or "") == "" if hint is None else hint in told.value.hint


def test_a_silent_stream_is_given_up(monkeypatch):
    opening(monkeypatch, av.error.ExitError(1, "Immediate exit requested"))
    with pytest.raises(DataError, match=r"rtsp://a: cannot be opened \(nothing came in time\)"):
        LiveVideo(stream("rtsp://a"))


@pytest.mark.usefixtures("small_run")
def test_messages_do_not_pile_up(monkeypatch):
    heard = []

    @contextmanager
    def hearing():
        yield heard

    video = LiveVideo(stream(str(A)))
    monkeypatch.setattr(live, "hearing", hearing)
    for _ in video.frames():
        assert heard == []
        heard.append((16, "h264", "a damaged frame"))


@pytest.mark.usefixtures("small_run")
def test_a_stream_that_breaks_off_is_told_behind_its_frames(monkeypatch):
    video = LiveVideo(stream(str(A)))
    whole = video._decoded

    def broken():
        yield next(whole())
        raise av.error.OSError(5, "Input/output error")

    monkeypatch.setattr(video, "_decoded", broken)
    frames = video.frames()
    next(frames)
    with pytest.raises(DataError, match=r"00000\.mp4: broke off \(Input/output error\)"):
        next(frames)


@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize(("most", "is_told"), [(100, False), (3, True)])
def test_packets_that_do_not_decode_are_passed_over(monkeypatch, most, is_told):
    class Torn:
        def decode(self, _):
            raise av.error.InvalidDataError(1, "Invalid data found")

    monkeypatch.setattr("stsm_cli.data.live.MOST_DAMAGED", most)
    video = LiveVideo(stream(str(A)))
    packets = list(video._container.demux(video._stream))
    video._container.close()
    monkeypatch.setattr(video, "_container", FakeContainer(packets))
    monkeypatch.setattr(video, "_stream", Torn())
    if is_told:
        with pytest.raises(DataError, match=r"broke off \(Invalid data found\)"):
            list(video.frames())
    else:
        assert list(video.frames()) == []


class FakeContainer:
    """Packets, and nothing to close."""

    def __init__(self, packets):
        self.packets = packets

    def demux(self, _):
        return iter(self.packets)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_where_it_may_the_oldest_are_dropped():
    pending = Pending(3, may_drop=True)
    pending.fill(range(5))
    assert pending.take(1) == [2, 3, 4]
    assert pending.num_dropped == 2
    assert pending.take(1) == []


def test_else_what_brings_them_waits():
    pending = Pending(2, may_drop=False)
    thread = Thread(target=pending.fill, args=(range(5),))
    thread.start()
    assert [pending.take(2) for _ in range(4)] == [[0, 1], [2, 3], [4], []]
    thread.join()
    assert pending.num_dropped == 0


def test_an_error_comes_behind_the_items_before_it():
    def items():
        yield 1
        raise DataError("door: broke off")

    pending = Pending(2, may_drop=False)
    pending.fill(items())
    assert pending.take(2) == [1]
    with pytest.raises(DataError, match="door: broke off"):
        pending.take(2)


def test_nothing_is_brought_any_more_once_nobody_takes():
    brought, pending = [], Pending(9, may_drop=False)
    pending.close()
    pending.fill(brought.append(item) or item for item in range(5))
    assert len(brought) == 1
