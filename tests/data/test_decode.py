import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from stsm_cli.data import decode, decode_pyav
from stsm_cli.data.decode import (
    available_decoders,
    choose_decoder,
    default_decoder,
    probe,
    read_frames,
)
from stsm_cli.data.frames import VideoInfo
from stsm_cli.errors import DataError, UsageError

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
# their packets do not tell the frames, or key frames are none: pictures are renewed in pieces
FROM_START = ("vp8.webm", "b_frames.avi", "broadcast.ts", "no_keys.mp4")

decoders = pytest.mark.parametrize("decoder", available_decoders())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, encode_counter):
    folder = tmp_path_factory.mktemp("counters")
    for name, (num_frames, codec, options) in COUNTERS.items():
        encode_counter(folder / name, num_frames, codec, **options)
    return folder


def remux(source, target, *, hidden=0, never_shown=None, **options):
    """Copy a video without re-encoding.

    Its first `hidden` frames come before time 0; packet `never_shown`, of VP8, is marked as such.
    """
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        first, second = sorted(packet.pts for packet in packets)[:2]
        for number, packet in enumerate(packets):
            if number == never_shown:
                content = bytes(packet)
                dark = av.Packet(bytes([content[0] & ~0x10]) + content[1:])  # RFC 6386, 9.1
                dark.pts, dark.dts, dark.time_base = packet.pts, packet.dts, packet.time_base
                packet = dark
            packet.pts -= hidden * (second - first)
            packet.dts -= hidden * (second - first)
            packet.stream = stream
            new.mux(packet)


@decoders
@pytest.mark.parametrize("name", COUNTERS)
def test_frame_i_is_frame_i(folder, read_counter, name, decoder):
    num_frames = COUNTERS[name][0]
    assert read_counter(read_frames(folder / name, None, decoder=decoder)) == list(
        range(num_frames)
    )


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
        decode_pyav, "_read_from_start", lambda *a: counted.append(a) or read_from_start(*a)
    )
    indices = np.arange(1, COUNTERS[name][0], 3)
    frames = read_frames(folder / name, indices, decoder="pyav")
    assert read_counter(frames) == indices.tolist()
    assert bool(counted) == (name in FROM_START)


@decoders
def test_a_frame_that_is_never_shown_is_not_counted(tmp_path, folder, read_counter, decoder):
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
    tmp_path, folder, read_counter, hidden, decoder
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


both_decoders = pytest.mark.skipif(
    len(available_decoders()) < 2, reason="decord does not import here"
)


def largest_difference(path, encode, height, width, channels, codec, **options):
    """Between the decoders' pixels, over blocks of random colours or greys."""
    colours = np.random.default_rng(0).integers(256, size=(8, 12, 16, channels), dtype=np.uint8)
    blocks = np.broadcast_to(colours.repeat(6, 1).repeat(6, 2), (8, 72, 96, 3))
    encode(path, list(np.ascontiguousarray(blocks[:, :height, :width])), codec, **options)
    one, other = (read_frames(path, None, decoder=d).astype(int) for d in available_decoders())
    assert one.shape == (8, height, width, 3)
    assert one.std() > 30  # there is something to compare
    return np.abs(one - other).max()


@both_decoders
def test_the_decoders_give_the_same_pixels(tmp_path, encode):
    difference = partial(largest_difference, encode=encode)
    assert difference(tmp_path / "a.mp4", height=48, width=64, channels=3, codec="libx264") == 0
    webm = {"codec": "libvpx-vp9", **REALTIME}
    assert difference(tmp_path / "b.webm", height=48, width=64, channels=3, **webm) == 0
    assert difference(tmp_path / "c.webm", height=48, width=65, channels=3, **webm) == 0
    # with an odd height, FFmpeg's versions interpolate colour (not brightness) in different ways
    assert difference(tmp_path / "d.webm", height=51, width=64, channels=1, **webm) <= 3


@decoders
def test_colours_are_red_green_blue(tmp_path, encode, decoder):
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=np.uint8)
    frames = [np.tile(colour, (48, 64, 1)) for colour in colours]
    encode(tmp_path / "colours.mp4", frames, "libx264")
    seen = read_frames(tmp_path / "colours.mp4", None, decoder=decoder).mean((1, 2))
    assert np.abs(seen - colours).max() < 12  # limited-range chroma and quantisation


def turn(path, degrees):
    """Have an mp4 say that its frames are to be shown turned clockwise (ISO/IEC 14496-12, tkhd)."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = struct.pack(">9i", *(x << 16 for x in (cos, sin, 0, -sin, cos, 0, 0, 0)), 1 << 30)
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + len(matrix)] = matrix
    path.write_bytes(content)


@decoders
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_are_upright(tmp_path, encode, decoder, degrees):
    path = tmp_path / "turned.mp4"
    quarters = np.array([[0, 80], [160, 240]], dtype=np.uint8)
    picture = np.ascontiguousarray(quarters.repeat(32, 0).repeat(48, 1)[..., None].repeat(3, 2))
    encode(path, [picture] * 20, "libx264", g=8)
    turn(path, degrees)
    upright = np.rot90(quarters, -degrees // 90).astype(int)  # clockwise
    for indices in (None, np.array([19, 10])):
        frames = read_frames(path, indices, decoder=decoder)
        height, width = frames.shape[1:3]
        seen = frames.reshape(-1, 2, height // 2, 2, width // 2, 3)[:, :, 8:-8, :, 8:-8]
        assert np.abs(seen.mean((2, 4, 5)) - upright).max() < 12
    assert probe(path) == VideoInfo(20, 25.0, width, height)
    assert (width, height) == ((64, 96) if degrees % 180 else (96, 64))


@decoders
def test_a_decoder_that_hangs_is_told(folder, monkeypatch, decoder):
    release = threading.Event()
    for module in ("read_decord", "read_pyav", "probe_pyav"):
        monkeypatch.setattr(decode, module, lambda *args: release.wait())
    monkeypatch.setattr(decode, "DEADLINE_SECONDS", 0.01)
    path = folder / "one.mp4"
    message = r"one\.mp4: decoding did not end within 0 seconds$"
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
def test_memory_is_flat(folder, decoder):
    def megabytes_after(num_reads):
        for _ in range(num_reads):
            read_frames(folder / "gop12.mp4", np.array([3, 50]), decoder=decoder)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    assert megabytes_after(200) - megabytes_after(50) < 10  # a reader left open: 1 MB a read


@decoders
def test_threads_do_not_disturb_each_other(folder, read_counter, decoder):
    def read(name):
        return read_counter(read_frames(folder / name, None, decoder=decoder))

    names = ["gop12.mp4", "vp8.webm", "one.mp4"] * 8
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(read, names))
    assert numbers == [list(range(COUNTERS[name][0])) for name in names]


@decoders
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_files_are_closed(folder, decoder):
    def open_videos():
        links = (
            str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()
        )
        return [link for link in links if link.startswith(str(folder))]

    frames = read_frames(folder / "gop12.mp4", np.array([3, 50]), decoder=decoder)
    probe(folder / "vp8.webm")
    assert len(frames) == 2
    assert open_videos() == []


@decoders
def test_odd_names_are_names(tmp_path, folder, decoder):
    path = tmp_path / "ein Käse, 100% – 視頻 'x'.mp4"
    path.write_bytes((folder / "one.mp4").read_bytes())
    assert read_frames(path, None, decoder=decoder).shape == (1, 48, 64, 3)


@decoders
@pytest.mark.parametrize("read_first", [0, 60])
def test_an_index_past_the_end_is_named(folder, decoder, read_first):
    indices = np.array([read_first, 61])
    with pytest.raises(DataError, match=r"gop12\.mp4: index 61 is past the end, 60 frames decode"):
        read_frames(folder / "gop12.mp4", indices, decoder=decoder)


@decoders
@pytest.mark.parametrize("indices", [[4, -1], []])
def test_negative_or_no_indices_are_misuse(folder, decoder, indices):
    with pytest.raises(ValueError, match=r"indices must be 0 or more and at least one, got \["):
        read_frames(folder / "gop12.mp4", np.array(indices, dtype=int), decoder=decoder)


def broken_file(name, folder, path):
    good = folder / "gop12.mp4"
    if name == "empty":
        path.write_bytes(b"")
    elif name == "text":
        path.write_text("not a video\n" * 50)
    elif name == "half":  # the index of an MP4 stands at its end
        path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    elif name == "half with index":
        remux(good, path, movflags="faststart")
        path.write_bytes(path.read_bytes()[:-200])
    elif name == "scrambled":
        remux(good, path, movflags="faststart")
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        path.write_bytes(content)
    elif name == "no frame":
        remux(good, path, movflags="frag_keyframe+empty_moov")
        content = path.read_bytes()
        path.write_bytes(content[: content.index(b"moof") - 4])
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=44100)
            sound = av.AudioFrame.from_ndarray(
                np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono"
            )
            sound.rate = 44100
            container.mux(stream.encode(sound))
            container.mux(stream.encode())


BROKEN = ["empty", "text", "half", "half with index", "scrambled", "no frame", "sound only"]


@decoders
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named(tmp_path, folder, decoder, name):
    path = tmp_path / "broken.mp4"
    broken_file(name, folder, path)
    message = r"^\S+broken\.mp4: (does not decode \([^\n]+\)|holds no (frame|video stream))$"
    with pytest.raises(DataError, match=message):
        read_frames(path, None, decoder=decoder)
    with pytest.raises(DataError, match=message):
        read_frames(path, np.array([0, 59]), decoder=decoder)
    with pytest.raises(DataError, match=message):
        probe(path)


@decoders
def test_a_stream_of_no_known_codec_is_no_video_stream(tmp_path, folder, decoder):
    path = tmp_path / "unknown.mp4"
    path.write_bytes((folder / "one.mp4").read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(DataError, match=r"unknown\.mp4: holds no video stream$"):
        read_frames(path, None, decoder=decoder)
    with pytest.raises(DataError, match=r"unknown\.mp4: holds no video stream$"):
        probe(path)


@decoders
def test_a_cut_webm_has_fewer_frames(tmp_path, folder, read_counter, decoder):
    path = tmp_path / "cut.webm"
    path.write_bytes((folder / "vp8.webm").read_bytes()[:-1500])
    num_frames = probe(path).num_frames
    assert 0 < num_frames < 60
    assert read_counter(read_frames(path, None, decoder=decoder)) == list(range(num_frames))
    with pytest.raises(DataError, match=rf"index 59 is past the end, {num_frames} frames"):
        read_frames(path, np.array([59]), decoder=decoder)


@decoders
def test_a_missing_file_is_named(tmp_path, decoder):
    with pytest.raises(DataError, match=r"nowhere\.mp4: no such file$"):
        read_frames(tmp_path / "nowhere.mp4", None, decoder=decoder)
    with pytest.raises(DataError, match=r"no such file$"):
        probe(tmp_path)


def test_without_decord_pyav_reads(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    assert available_decoders() == ("pyav",)
    assert default_decoder() == choose_decoder(None) == "pyav"
    with pytest.raises(DataError, match="decoder decord does not import here") as caught:
        read_frames(folder / "one.mp4", None, decoder="decord")
    assert caught.value.hint == "decoder pyav reads the same"
    with pytest.raises(UsageError, match="--decoder: 'decord' is not available here") as refused:
        choose_decoder("decord")
    assert refused.value.hint == "choose pyav"


def test_a_decoder_is_chosen_by_name():
    assert [choose_decoder(name) for name in available_decoders()] == list(available_decoders())
    assert choose_decoder(None) == default_decoder() == available_decoders()[0]
    with pytest.raises(UsageError, match="--decoder: 'opencv' is not available here"):
        choose_decoder("opencv")


@both_decoders
@pytest.mark.parametrize("order", ["torch, decord, av", "av, decord, torch"])
def test_torch_decord_and_av_live_together(folder, order):
    code = (
        f"import {order}; from pathlib import Path; import numpy as np\n"
        "from stsm_cli.data.decode import read_frames\n"
        f"path = Path({str(folder / 'gop12.mp4')!r})\n"
        "both = [read_frames(path, np.array([9, 2]), decoder=d) for d in ('decord', 'pyav')]\n"
        "from stsm_cli.data.frames import resize_short_side\n"
        "assert (both[0] == both[1]).all() and resize_short_side(both[0], 24).shape[1] == 24\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_pyav_keeps_its_own_libraries_beside_decord(tmp_path):
    """Whoever asks for decoders first has both; decord's libvpx cannot encode for PyAV."""
    code = (
        "import sys; from stsm_cli.data.decode import available_decoders; available_decoders()\n"
        "import av; stream = av.open(sys.argv[1], 'w').add_stream('libvpx', rate=10)\n"
        "stream.width = stream.height = 32; stream.codec_context.open()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "video.webm")]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
