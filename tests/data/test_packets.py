import av
import pytest

from stsm_cli.data.decode_pyav import packet_index


@pytest.fixture
def index_of(tmp_path, encode_counter):
    """index_of(name, num_frames, codec, **options) is the index of such a counter, in frames."""

    def index_of(name, num_frames, codec, **options):
        path = tmp_path / name
        encode_counter(path, num_frames, codec, **options)
        index = packet_index(path)
        if index is None:
            return None
        number = {time: i for i, time in enumerate(index.times)}
        assert len(number) == num_frames
        return [number[key] for key in index.keys], index.is_plain

    return index_of


def test_frames_are_decoded_from_the_key_frame_before_them(index_of):
    keys, is_plain = index_of("a.mp4", 30, "libx264", g=12, bf=3, sc_threshold=0)
    assert keys == [0] * 12 + [12] * 12 + [24] * 6
    assert is_plain


def test_frames_shown_before_a_key_frame_may_need_the_one_before_it(index_of):
    options = {"g": 12, "bf": 3, "sc_threshold": 0, "x264-params": "open-gop=1"}
    keys, is_plain = index_of("a.mp4", 40, "libx264", **options)
    first = keys.index(keys[-1])  # the last key frame
    assert 0 < keys[first - 1] < keys[-1] == first
    assert not is_plain


def test_times_are_those_of_the_decoded_frames(tmp_path, encode_counter):
    path = tmp_path / "a.mkv"
    encode_counter(path, 20, "libx264", g=9, bf=3, times_ms=[i * i for i in range(20)])
    with av.open(str(path)) as container:
        assert [frame.pts for frame in container.decode(video=0)] == [i * i for i in range(20)]
    assert packet_index(path).times == tuple(i * i for i in range(20))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.webm", "libvpx"), ("a.mp4", "mpeg4"), ("a.ts", "libx264")]
)
def test_nothing_is_claimed_where_packets_do_not_tell_the_frames(index_of, name, codec):
    assert index_of(name, 4, codec) is None


def test_pictures_renewed_piece_by_piece_have_no_key_frame_but_the_first(index_of):
    options = {"g": 12, "x264-params": "intra-refresh=1:bframes=0"}
    assert index_of("a.mp4", 40, "libx264", **options) == ([0] * 40, False)


def test_hevc_begins_anew_where_its_groups_are_closed(index_of):
    closed = {"x265-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=0:log-level=none"}
    assert index_of("a.mp4", 30, "libx265", **closed) == ([0] * 12 + [12] * 12 + [24] * 6, True)
    opened = {"x265-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=1:log-level=none"}
    keys, is_plain = index_of("b.mp4", 30, "libx265", **opened)
    assert len(set(keys)) == 3
    assert not is_plain
