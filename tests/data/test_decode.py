import av
import numpy as np
import pytest

from stsm_cli.data import decode_pyav
from stsm_cli.data.decode import available_decoders, each_frame, probe, read_frames
from stsm_cli.data.frames import VideoInfo
from stsm_cli.errors import DataError

REALTIME = {"deadline": "realtime", "cpu-used": 8}
IRREGULAR = np.cumsum(np.random.default_rng(0).choice([10, 20, 33, 40, 100, 300], 60)).tolist()
# file name: frames, encoder, options
COUNTERS = {
    "gop250.mp4": (300, "libx264", {"g": 250, "bf": 3}),
    "gop12.mp4": (60, "libx264", {"g": 12, "bf": 2}),
    "open_gop.mp4": (60, "libx264", {"g": 12, "bf": 3, "x264-params": "open-gop=1"}),
    "vp8.webm": (60, "libvpx", {"g": 12, **REALTIME}),
    "vp9.webm": (60, "libvpx-vp9", {"g": 12, **REALTIME}),
    "narrow.mp4": (30, "libx264", {"width": 48, "g": 12}),  # a width that decord cannot read
    "odd.webm": (30, "libvpx-vp9", {"width": 65, "height": 51, **REALTIME}),
    "odd.mp4": (30, "libx264", {"width": 65, "height": 51, "pix_fmt": "yuv444p"}),
    "one.mp4": (1, "libx264", {}),
    "b_frames.avi": (60, "mpeg4", {"g": 12, "bf": 2}),
    "broadcast.ts": (60, "libx264", {"g": 12, "bf": 2}),
    "variable.mp4": (60, "libx264", {"g": 12, "bf": 3, "times_ms": IRREGULAR}),
    "variable.webm": (60, "libvpx-vp9", {"g": 12, "times_ms": IRREGULAR, **REALTIME}),
    "variable.mkv": (60, "libx264", {"g": 12, "bf": 3, "times_ms": IRREGULAR}),
    "no_keys.mp4": (60, "libx264", {"g": 12, "x264-params": "intra-refresh=1"}),
    "pyramid.mp4": (60, "libx264", {"g": 12, "bf": 5, "b-pyramid": "strict"}),
    "only_keys.mp4": (30, "libx264", {"g": 1}),
}
FROM_START = ("vp8.webm", "b_frames.avi", "broadcast.ts")  # their packets do not tell the frames

decoders = pytest.mark.parametrize("decoder", available_decoders())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, encode_counter):
    folder = tmp_path_factory.mktemp("counters")
    for name, (num_frames, codec, options) in COUNTERS.items():
        encode_counter(folder / name, num_frames, codec, **options)
    return folder


@decoders
@pytest.mark.parametrize("name", COUNTERS)
def test_frame_i_is_frame_i(folder, read_counter, name, decoder):
    num_frames = COUNTERS[name][0]
    assert read_counter(read_frames(folder / name, None, decoder=decoder)) == list(
        range(num_frames)
    )


@pytest.mark.parametrize("name", COUNTERS)
def test_one_by_one_they_are_the_same(folder, name):
    whole = read_frames(folder / name, None)
    for number, frame in enumerate(each_frame(folder / name)):
        assert np.array_equal(frame, whole[number])
    assert number + 1 == COUNTERS[name][0]


def test_one_by_one_what_is_no_video_is_told(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text\.mp4: does not open \("):
        next(each_frame(tmp_path / "text.mp4"))


@decoders
@pytest.mark.parametrize("name", COUNTERS)
def test_indices_come_in_the_order_asked_for_with_repeats(folder, read_counter, name, decoder):
    num_frames = COUNTERS[name][0]
    rng = np.random.default_rng(0)
    ends = np.array([num_frames - 1, 0, num_frames - 1])
    for indices in [ends, *(rng.integers(num_frames, size=(8, 6)))]:
        frames = read_frames(folder / name, indices, decoder=decoder)
        assert read_counter(frames) == indices.tolist()


@pytest.mark.parametrize("name", sorted({*COUNTERS} - {"one.mp4"}))
def test_pyav_seeks_where_packets_tell_the_frames(folder, read_counter, name, monkeypatch):
    counted = []
    read_from_start = decode_pyav._read_from_start
    monkeypatch.setattr(
        decode_pyav,
        "_read_from_start",
        lambda *a, **k: counted.append(a) or read_from_start(*a, **k),
    )
    indices = np.arange(1, COUNTERS[name][0], 3)
    frames = read_frames(folder / name, indices, decoder="pyav")
    assert read_counter(frames) == indices.tolist()
    assert bool(counted) == (name in FROM_START)


@decoders
def test_a_frame_that_is_never_shown_is_not_counted(tmp_path, folder, remux, read_counter, decoder):
    path = tmp_path / "hidden.webm"
    remux(folder / "vp8.webm", path, never_shown=7)
    shown = [i for i in range(60) if i != 7]
    assert probe(path).num_frames == 59
    assert read_counter(read_frames(path, None, decoder=decoder)) == shown
    indices = np.array([58, 6, 7, 40])
    frames = read_frames(path, indices, decoder=decoder)
    assert read_counter(frames) == [shown[i] for i in indices]


@decoders
@pytest.mark.parametrize("hidden", [5, 15])
def test_frames_that_an_edit_list_hides_are_not_counted(
    tmp_path, folder, remux, read_counter, hidden, decoder
):
    path = tmp_path / "cut.mp4"
    remux(folder / "gop12.mp4", path, hidden=hidden)
    shown = list(range(hidden, 60))
    assert probe(path).num_frames == len(shown)
    assert read_counter(read_frames(path, None, decoder=decoder)) == shown
    indices = np.array([40, 3, 17, len(shown) - 1])
    frames = read_frames(path, indices, decoder=decoder)
    assert read_counter(frames) == [shown[i] for i in indices]


@pytest.mark.parametrize("name", COUNTERS)
def test_probe_counts_what_decodes(folder, name):
    num_frames, _, options = COUNTERS[name]
    size = options.get("width", 64), options.get("height", 48)
    info = probe(folder / name)
    assert info == VideoInfo(num_frames, info.fps, *size)
    assert "times_ms" in options or info.fps == 25


def test_webm_headers_do_not_tell_the_number_of_frames(folder):
    with av.open(str(folder / "vp8.webm")) as container:  # why nothing here reads the header
        assert container.streams.video[0].frames == 0


def test_what_a_seek_would_not_leave_out_is_decoded_straight_on():
    keys = (0, 0, 0, 30, 30, 30, 60)
    assert list(decode_pyav._runs([1, 2, 3, 4], keys)) == [[1, 2, 3, 4]]
    assert list(decode_pyav._runs([0, 2, 4, 6], keys)) == [[0, 2], [4], [6]]
    assert list(decode_pyav._runs([2, 5, 6], keys)) == [[2], [5, 6]]
