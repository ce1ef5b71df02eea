import av
import numpy as np
import pytest

from stsm_cli.data.flow import (
    QUANTUM_PX,
    REST,
    Flow,
    as_levels,
    as_pixels,
    packed,
    read_fields,
    with_x_negated,
)
from stsm_cli.errors import DataError


def levels(num_fields=6, height=24, width=32):
    return np.random.default_rng(0).integers(1, 256, (num_fields, height, width, 2), dtype=np.uint8)


@pytest.fixture
def flow_file(tmp_path):
    """A file of the fields of `levels()`."""
    path = tmp_path / "0.mp4.mp4"
    options = {"qp": "0", "g": "1", "x264-params": "log-level=error"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 32, 48, "gray"
        for field in levels():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(packed(field), format="gray")))
        container.mux(stream.encode())
    return path


def test_a_level_is_within_half_a_quantum_and_rest_is_exact():
    flow_px = np.linspace(-20, 20, 9999)
    error = np.abs(as_pixels(as_levels(flow_px)) - flow_px)
    assert error.max() <= QUANTUM_PX / 2 + 1e-5
    assert as_levels(np.array([0.0, -20, 20, -99, 99])).tolist() == [REST, 1, 255, 1, 255]
    assert as_pixels(np.array([REST], np.uint8))[0] == 0


def test_what_is_negated_is_negated_exactly():
    flow_px = np.random.default_rng(0).normal(0, 9, (5, 6, 7, 4))
    turned = flow_px * np.array([-1, 1, -1, 1])
    np.testing.assert_array_equal(with_x_negated(as_levels(flow_px)), as_levels(turned))


def test_stored_fields_come_back_as_they_were(flow_file):
    np.testing.assert_array_equal(read_fields(flow_file, None), levels())


@pytest.mark.parametrize("wanted", [[3], [0, 1, 2], [2, 3, 4, 5], [5, 0, 5, 2]])
def test_fields_are_read_by_their_numbers(flow_file, wanted):
    found = read_fields(flow_file, np.array(wanted))
    np.testing.assert_array_equal(found, levels()[wanted])


def test_a_resize_keeps_the_values(flow_file):
    small = read_fields(flow_file, np.array([1, 4]), short_side_px=12)
    assert small.shape == (2, 12, 16, 2)
    mean = levels()[[1, 4]].reshape(2, 12, 2, 16, 2, 2).mean((2, 4))
    assert np.abs(small - mean).max() <= 1


def test_an_index_behind_the_last_field_is_told(flow_file):
    with pytest.raises(DataError, match=r"0\.mp4\.mp4: index 6 is past the end, 6 frames decode"):
        read_fields(flow_file, np.array([2, 6]))


def test_a_corrupt_file_is_told_in_one_line(flow_file):
    content = bytearray(flow_file.read_bytes())
    content[600:1200] = bytes(600)
    flow_file.write_bytes(content)
    with pytest.raises(DataError, match=r"0\.mp4\.mp4: ") as caught:
        read_fields(flow_file, None)
    assert "\n" not in str(caught.value)


def test_a_video_without_flow_is_told(tmp_path):
    says = r"a\.mp4\.mp4: no such file, the video a\.mp4 has no optical flow$"
    with pytest.raises(DataError, match=says):
        read_fields(tmp_path / "a.mp4.mp4", np.array([0]))


def test_the_last_field_is_repeated_at_the_end():
    frames = np.array([0, 3, 5, 6])
    assert Flow("dis", 1).positions(frames, 7).tolist() == [[0], [3], [5], [5]]
    stacks = Flow("dis", 3).positions(frames, 7)
    assert stacks.tolist() == [[0, 1, 2], [3, 4, 5], [5, 5, 5], [5, 5, 5]]
    assert Flow("dis", 2).positions(np.array([0]), 1).tolist() == [[0, 0]]


def test_a_video_whose_flow_can_have_no_file_is_told(tmp_path):
    with pytest.raises(DataError, match=r"x\.mp4: no such file, the video x+ has no optical flow$"):
        read_fields(tmp_path / ("x" * 252 + ".mp4"), np.array([0]))
