"""Files in which a seek, a size or a reader may mislead: the right frame all the same."""

import av
import numpy as np
import pytest

from stsm_cli.data import decode, decode_decord, decode_pyav
from stsm_cli.data.decode import available_decoders, probe, read_frames
from stsm_cli.data.packets import PacketIndex, index_packets
from stsm_cli.errors import DataError

decoders = pytest.mark.parametrize("decoder", available_decoders())
decord = pytest.mark.skipif("decord" not in available_decoders(), reason="does not import here")
PIECEWISE = {"g": 12, "crf": 30, "x264-params": "intra-refresh=1:bframes=0"}


def noise(num_frames, height=48, width=64):
    """A still picture with noise: a frame that is not renewed yet differs from the right one."""
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 190, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    return [(picture + rng.integers(-50, 50, picture.shape)).astype(np.uint8)] * num_frames


def in_sequence(path):
    """All frames as PyAV decodes them one after the other, in the first one's size."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    size = {"width": frames[0].width, "height": frames[0].height}
    return np.stack([frame.to_ndarray(format="rgb24", **size) for frame in frames])


@decoders
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pictures_that_are_renewed_piece_by_piece_are_waited_for(tmp_path, encode, decoder, name):
    encode(tmp_path / name, noise(60), "libx264", **PIECEWISE)
    right = in_sequence(tmp_path / name)
    for index in (13, 27, 40, 59):
        frames = read_frames(tmp_path / name, np.array([index]), decoder=decoder)
        assert np.array_equal(frames[0], right[index])


def remux_from(source, target, key):
    """A copy without re-encoding from this key frame on."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        for packet in packets[keys[key] :]:
            packet.stream = stream
            new.mux(packet)


@decoders
def test_a_cut_where_pictures_were_being_renewed_loses_some_and_counts_the_others(
    tmp_path, encode, decoder
):
    encode(tmp_path / "a.mp4", noise(60), "libx264", **PIECEWISE)
    remux_from(tmp_path / "a.mp4", tmp_path / "cut.mp4", 2)
    right = in_sequence(tmp_path / "cut.mp4")
    assert 10 < len(right) < 36  # the first ones are not whole
    for index in (1, len(right) - 1):
        frames = read_frames(tmp_path / "cut.mp4", np.array([index]), decoder=decoder)
        assert np.array_equal(frames[0], right[index])


def count_starts(monkeypatch):
    starts, whole = [], decode_pyav._read_from_start

    def read_from_start(*args, **options):
        starts.append(args)
        return whole(*args, **options)

    monkeypatch.setattr(decode_pyav, "_read_from_start", read_from_start)
    return starts


def test_a_frame_that_comes_marked_after_a_seek_is_read_again_from_the_start(
    counters, read_counter, monkeypatch
):
    starts = count_starts(monkeypatch)
    monkeypatch.setattr(decode_pyav.Watch, "damaged", lambda self: [] if starts else [50])
    assert read_counter(read_frames(counters / "gop12.mp4", np.array([50, 30]))) == [50, 30]
    assert len(starts) == 1


def test_who_knows_that_seeks_mislead_does_not_seek(counters, read_counter, monkeypatch):
    starts = count_starts(monkeypatch)
    for decoder in available_decoders():
        frames = read_frames(
            counters / "gop12.mp4", np.array([50, 30]), decoder=decoder, from_start=True
        )
        assert read_counter(frames) == [50, 30]
    assert len(starts) == len(available_decoders())


def two_sizes(tmp_path, encode, codec, suffix):
    """A stream without a container whose pictures become larger on the way."""
    for name, size in (("a", (48, 64)), ("b", (80, 96))):
        encode(tmp_path / f"{name}.{suffix}", noise(12, *size), codec, bf=0)
    return (tmp_path / f"a.{suffix}").read_bytes() + (tmp_path / f"b.{suffix}").read_bytes()


@decoders
def test_a_size_that_changes_is_scaled_to_the_first(tmp_path, encode, decoder):
    path = tmp_path / "sizes.h264"
    path.write_bytes(two_sizes(tmp_path, encode, "libx264", "h264"))
    right = in_sequence(path)
    assert right.shape == (24, 48, 64, 3)
    assert np.array_equal(read_frames(path, None, decoder=decoder), right)
    indices = np.array([20, 3])
    assert np.array_equal(read_frames(path, indices, decoder=decoder), right[indices])
    assert (probe(path).width, probe(path).height) == (64, 48)


@decoders
def test_a_size_that_changes_in_an_indexed_file_is_scaled_too(tmp_path, encode, decoder):
    realtime = {"deadline": "realtime", "cpu-used": 8}
    for name, size in (("a", (48, 64)), ("b", (80, 96))):
        encode(tmp_path / f"{name}.webm", noise(12, *size), "libvpx-vp9", **realtime)
    path = tmp_path / "sizes.webm"
    with av.open(str(path), "w") as new:
        stream = None
        for number, name in enumerate("ab"):
            with av.open(str(tmp_path / f"{name}.webm")) as old:
                stream = stream or new.add_stream_from_template(old.streams.video[0])
                for packet in old.demux(video=0):
                    if packet.size:
                        packet.pts += 480 * number
                        packet.dts = packet.pts
                        packet.stream = stream
                        new.mux(packet)
    right = in_sequence(path)
    for indices in (np.array([20]), np.array([20, 3])):
        assert np.array_equal(read_frames(path, indices, decoder=decoder), right[indices])


@decoders
def test_frames_need_no_time_stamps(tmp_path, encode_counter, read_counter, decoder):
    path = tmp_path / "raw.mp4"  # recorders name them so
    encode_counter(tmp_path / "raw.h264", 30, "libx264", g=12, bf=2)
    (tmp_path / "raw.h264").rename(path)
    assert read_counter(read_frames(path, np.array([29, 4, 13]), decoder=decoder)) == [29, 4, 13]


@decord
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.ts", "libx264", {"g": 12}),
        ("ten_bits.mp4", "libx264", {"pix_fmt": "yuv420p10le"}),
        ("interlaced.mp4", "libx264", {"flags": "+ildct+ilme", "x264-params": "tff=1"}),
        ("open_gop.mp4", "libx264", {"g": 12, "bf": 3, "x264-params": "open-gop=1"}),
        ("odd.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": 8}),
    ],
)
def test_what_decord_would_show_otherwise_is_left_to_pyav(
    tmp_path, encode, monkeypatch, name, codec, options
):
    height = 51 if name == "odd.webm" else 48
    frames = [frame[:height] for frame in noise(30, height=56)]
    encode(tmp_path / name, [np.ascontiguousarray(f) for f in frames], codec, **options)
    monkeypatch.setattr(decode_decord, "_open", lambda path: pytest.fail("decord was asked"))
    right = in_sequence(tmp_path / name)
    for indices in (np.array([0]), np.array([29, 14])):
        assert np.array_equal(
            read_frames(tmp_path / name, indices, decoder="decord"), right[indices]
        )


@decord
def test_decord_reads_what_it_reads_right(counters, monkeypatch):
    monkeypatch.setattr(decode_decord, "read_pyav", lambda *a, **k: pytest.fail("PyAV was asked"))
    assert len(read_frames(counters / "gop12.mp4", np.array([5, 50]), decoder="decord")) == 2


def test_whatever_a_file_brings_about_names_the_file(counters, monkeypatch):
    def fail(*args, **options):
        raise KeyError("made up")

    monkeypatch.setattr(decode, "read_pyav", fail)
    with pytest.raises(DataError, match=r"one\.mp4: cannot be read \(KeyError: 'made up'\)$"):
        read_frames(counters / "one.mp4", None)


def test_lack_of_memory_is_no_fault_of_a_file(counters, monkeypatch):
    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr(decode, "probe_pyav", fail)
    with pytest.raises(MemoryError):
        probe(counters / "one.mp4")


def test_an_index_that_claims_too_much_is_not_believed(counters, read_counter, monkeypatch):
    def wrong(container, stream):
        index = index_packets(container, stream)
        return PacketIndex((*index.times[:-1], 10**9), index.keys, index.is_plain)

    monkeypatch.setattr(decode_pyav, "index_packets", wrong)
    assert read_counter(read_frames(counters / "gop12.mp4", np.array([59]))) == [59]
