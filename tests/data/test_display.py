"""The display matrix of a file: all eight ways to lay down a picture, and none."""

import struct

import numpy as np
import pytest

from stsm_cli.data.decode import available_decoders, probe, read_frames
from stsm_cli.data.display import Display
from stsm_cli.data.frames import VideoInfo
from stsm_cli.prepare.verify import verify

ONE = 1 << 16
QUARTERS = np.array([[0, 80], [160, 240]], dtype=np.uint8)
# a, b, c, d of x' = a x + c y, y' = b x + d y; what becomes of the quarters
MATRICES = {
    (ONE, 0, 0, ONE): [[0, 80], [160, 240]],
    (-ONE, 0, 0, ONE): [[80, 0], [240, 160]],
    (ONE, 0, 0, -ONE): [[160, 240], [0, 80]],
    (-ONE, 0, 0, -ONE): [[240, 160], [80, 0]],
    (0, ONE, ONE, 0): [[0, 160], [80, 240]],
    (0, ONE, -ONE, 0): [[160, 0], [240, 80]],
    (0, -ONE, ONE, 0): [[80, 240], [0, 160]],
    (0, -ONE, -ONE, 0): [[240, 80], [160, 0]],
    (-2 * ONE, 99, 99, 2 * ONE): [[80, 0], [240, 160]],  # nearly, and larger
    (0, 0, 0, 0): [[0, 80], [160, 240]],  # leaves no picture: ignored
    (ONE, ONE, ONE, ONE): [[0, 80], [160, 240]],
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, encode):
    path = tmp_path_factory.mktemp("plain") / "a.mp4"
    picture = np.ascontiguousarray(QUARTERS.repeat(32, 0).repeat(48, 1)[..., None].repeat(3, 2))
    encode(path, [picture] * 10, "libx264", g=4)
    return path


@pytest.mark.parametrize("decoder", available_decoders())
@pytest.mark.parametrize("matrix", MATRICES)
def test_frames_are_shown_as_the_file_says(tmp_path, plain, decoder, matrix):
    a, b, c, d = matrix
    content = bytearray(plain.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content)
    for indices in (None, np.array([9, 5])):
        frames = read_frames(tmp_path / "a.mp4", indices, decoder=decoder)
        height, width = frames.shape[1:3]
        seen = frames.reshape(-1, 2, height // 2, 2, width // 2, 3)[:, :, 8:-8, :, 8:-8]
        assert np.abs(seen.mean((2, 4, 5)) - MATRICES[matrix]).max() < 12
    assert (width, height) == ((64, 96) if abs(b) > abs(a) else (96, 64))
    assert probe(tmp_path / "a.mp4") == VideoInfo(10, 25.0, width, height)
    check = verify(tmp_path, "a.mp4", lambda: None)
    assert (check.status, check.width, check.height) == ("ok", width, height)


def test_a_picture_that_is_not_turned_is_not_copied():
    picture = np.zeros((2, 3, 1), dtype=np.uint8)[:, :2]
    assert Display().show(picture) is picture


def test_a_picture_is_shown_row_by_row():
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert Display(is_mirrored=True).show(picture)[..., 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    turned = Display(is_transposed=True, is_mirrored=True)
    assert turned.show(picture)[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert turned.size(3, 2) == (2, 3)
