import io
from dataclasses import replace

import av
import numpy as np
import pytest

from stsm_cli.data.decode import read_frames
from stsm_cli.data.render import EXTENT, SHAPES, TEXTURES, Scene, Sprite, draw, encode, render

SIZE = 40
WHITE = np.ones((2, 3), np.float32)
STILL = np.zeros((1, 2), np.float32)


def track(*values):
    return np.array(values, np.float32)


def sprite(**changes):
    looks = {"shape": SHAPES["disc"], "texture": "plain", "colors": WHITE, "radius": 10.0}
    path = {"x": track(20), "y": track(20), "angle": track(0), "scale": track(1)}
    return Sprite(**(looks | path | {"opacity": track(1)} | changes))


def drawn(**changes):
    video = np.zeros((1, 3, SIZE, SIZE), np.float32)
    draw(video, sprite(**changes), STILL)
    return video[0, 0]


def scene(num_frames=3, **changes):
    rng = np.random.default_rng(0)
    parts = {
        "canvas": rng.random((3, SIZE + 20, SIZE + 20), np.float32) / 2,
        "margin": 10,
        "camera": np.zeros((num_frames, 2), np.float32),
        "sprites": (),
        "gain": np.ones(num_frames, np.float32),
        "noise": np.zeros((num_frames, 1, SIZE, SIZE), np.float32),
    }
    return Scene(**(parts | changes))


def textured_frames(num_frames=4):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (num_frames, 4, 8, 3), np.uint8)  # 64 px: decord fails at 48
    return coarse.repeat(8, 1).repeat(8, 2)


def test_a_disc_has_its_area_and_its_place():
    picture = drawn(x=track(15.5), y=track(22.25))
    assert picture.sum() == pytest.approx(np.pi * 9.5**2, rel=0.01)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    assert (picture * columns).sum() / picture.sum() == pytest.approx(15.5, abs=0.02)
    assert (picture * rows).sum() / picture.sum() == pytest.approx(22.25, abs=0.02)


def test_scale_and_opacity():
    assert drawn(scale=track(0.5)).sum() == pytest.approx(np.pi * 4.75**2, rel=0.01)
    assert drawn(opacity=track(0.25)).max() == pytest.approx(0.25)


def test_a_positive_angle_turns_clockwise_on_the_screen():
    bar = drawn(shape=SHAPES["bar"], angle=track(np.pi / 4))
    assert (bar[26, 26], bar[26, 14]) == (1, 0)  # down and right; down and left


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_leaves_its_patch(shape):
    angle = np.linspace(0, 2 * np.pi, 1000, dtype=np.float32)
    assert (SHAPES[shape](EXTENT * np.cos(angle), EXTENT * np.sin(angle)) > 0).all()
    assert 0.1 < drawn(shape=SHAPES[shape]).mean() * SIZE**2 / (np.pi * 10**2) < 1.1


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_mix_two_colors(texture):
    u, v = np.meshgrid(*[np.linspace(-1, 1, 50, dtype=np.float32)] * 2)
    mix = TEXTURES[texture](u, v)
    assert mix.shape == u.shape
    assert (mix.min(), mix.max()) == (0, 0 if texture == "plain" else 1)


@pytest.mark.parametrize(("x", "y"), [(-3, 20), (43, 20), (20, -3), (42, 43)])
def test_a_sprite_at_the_edge_is_cut_off_there(x, y):
    wide = np.zeros((1, 3, SIZE + 40, SIZE + 40), np.float32)
    draw(wide, sprite(x=track(x + 20), y=track(y + 20)), STILL)
    np.testing.assert_allclose(drawn(x=track(x), y=track(y)), wide[0, 0, 20:-20, 20:-20], atol=1e-5)


@pytest.mark.parametrize(("x", "y"), [(-500, 20), (500, 20), (20, -500), (-70, 500)])
def test_a_sprite_outside_is_not_seen(x, y):
    assert drawn(x=track(x), y=track(y)).max() == 0


def test_the_camera_moves_background_and_sprites_together():
    things = (sprite(x=track(20, 20), y=track(20, 20), angle=track(0, 0), scale=track(1, 1)),)
    things = (replace(things[0], opacity=track(1, 1)),)
    moved = render(scene(2, sprites=things, camera=np.array([[0, 0], [3, -2]], np.float32)))
    np.testing.assert_array_equal(moved[1, :-2, 3:], moved[0, 2:, :-3])


def test_the_last_sprite_is_in_front():
    behind, front = sprite(), sprite(colors=WHITE * 0.5)
    assert render(scene(1, sprites=(behind, front)))[0, 20, 20].tolist() == [128] * 3


def test_gain_and_noise():
    plain = render(scene(1))
    canvas = scene().canvas[:, 10:-10, 10:-10].transpose(1, 2, 0)
    np.testing.assert_allclose(plain[0], canvas * 255, atol=0.51)
    brighter = render(scene(1, gain=track(2)))
    assert brighter.mean() == pytest.approx(2 * plain.mean(), rel=0.01)
    noisy = render(scene(1, noise=np.full((1, 1, SIZE, SIZE), 2, np.float32)))
    assert noisy.min() == 255


def test_encoded_frames_decode_to_what_they_were(tmp_path):
    frames = textured_frames()
    (tmp_path / "a.mp4").write_bytes(encode(frames, 16))
    decoded = read_frames(tmp_path / "a.mp4", None)
    assert decoded.shape == frames.shape
    luma = [picture.astype(float) @ [0.299, 0.587, 0.114] for picture in (decoded, frames)]
    assert np.abs(luma[0] - luma[1]).mean() < 6


def test_equal_frames_give_equal_bytes():
    assert encode(textured_frames(), 16) == encode(textured_frames(), 16)


def test_coding_does_not_know_the_direction_of_time(tmp_path):
    frames = textured_frames()
    for name, video in (("forward", frames), ("backward", frames[::-1])):
        (tmp_path / f"{name}.mp4").write_bytes(encode(video, 16))
    forward = read_frames(tmp_path / "forward.mp4", None)
    np.testing.assert_array_equal(read_frames(tmp_path / "backward.mp4", None), forward[::-1])


def test_every_frame_is_a_key_frame():
    with av.open(io.BytesIO(encode(textured_frames(), 16))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [True] * 4
        assert container.streams.video[0].average_rate == 16
