from collections import Counter

import numpy as np
import pytest

from stsm_cli.data import crops
from stsm_cli.data.crops import Crop, center_crop, cut, multi_scale_crop, ten_crop, three_crop


def corners(boxes):
    return [(crop.x1, crop.y1) for crop in boxes]


def test_center_crop_floors():
    assert center_crop(256, 340, 224) == [(58, 16, 282, 240, False)]
    assert center_crop(11, 8, 5) == [(1, 3, 6, 8, False)]
    assert center_crop(5, 5, 5) == [(0, 0, 5, 5, False)]


def test_three_crop_is_left_right_middle():
    assert three_crop(256, 340, 256) == [
        (0, 0, 256, 256, False),
        (84, 0, 340, 256, False),
        (42, 0, 298, 256, False),
    ]


def test_three_crop_follows_the_long_side():
    assert corners(three_crop(340, 256, 256)) == [(0, 0), (0, 84), (0, 42)]
    assert corners(three_crop(256, 256, 256)) == [(0, 0)] * 3
    assert corners(three_crop(256, 341, 256)) == [(0, 0), (84, 0), (42, 0)]  # column 340 unused


def test_three_crop_of_a_smaller_size_stays_in_the_middle_of_the_short_side():
    assert corners(three_crop(11, 21, 8)) == [(0, 1), (12, 1), (6, 1)]
    assert corners(three_crop(21, 11, 8)) == [(1, 0), (1, 12), (1, 6)]


def test_ten_crop_is_corners_and_middle_each_with_its_mirror_image():
    crops = ten_crop(256, 340, 224)
    # steps: (340 - 224) // 4 = 29, (256 - 224) // 4 = 8
    assert corners(crops[::2]) == [(0, 0), (116, 0), (0, 32), (116, 32), (58, 16)]
    assert corners(crops[1::2]) == corners(crops[::2])
    assert [crop.mirrored for crop in crops] == [False, True] * 5
    assert {(crop.x2 - crop.x1, crop.y2 - crop.y1) for crop in crops} == {(224, 224)}


def test_ten_crop_floors_its_steps():
    assert corners(ten_crop(10, 15, 8)[::2]) == [(0, 0), (4, 0), (0, 0), (4, 0), (2, 0)]


def shapes(crops):
    return [(crop.x2 - crop.x1, crop.y2 - crop.y1) for crop in crops]


def test_multi_scale_crop_has_ten_shapes_with_sides_of_neighbouring_scales():
    crops = multi_scale_crop(256, 340, 224)
    assert len(crops) == 260
    assert [crop.mirrored for crop in crops] == [False, True] * 130
    assert shapes(crops[::2]) == shapes(crops[1::2])
    assert sorted(Counter(shapes(crops)).items()) == [
        ((168, 168), 26),
        ((168, 192), 26),
        ((192, 168), 26),
        ((192, 192), 26),
        ((192, 224), 26),
        ((224, 192), 26),
        ((224, 224), 26),
        ((224, 256), 26),
        ((256, 224), 26),
        ((256, 256), 26),
    ]


def test_multi_scale_crop_has_thirteen_places():
    crops = multi_scale_crop(256, 340, 224)
    # steps of 192 × 168 boxes: (340 - 192) // 4 = 37, (256 - 168) // 4 = 22
    boxes = [crop for crop in crops[::2] if shapes([crop]) == [(192, 168)]]
    assert corners(boxes) == [
        *((0, 0), (148, 0), (0, 88), (148, 88), (74, 44)),
        *((0, 44), (148, 44), (74, 88), (74, 0)),
        *((37, 22), (111, 22), (37, 66), (111, 66)),
    ]


def test_multi_scale_sides_near_the_wanted_size_become_it():
    # 258: scales 258, 225.75, 193.5, 170.28
    assert {x for x, _ in shapes(multi_scale_crop(258, 340, 224))} == {258, 224, 193, 170}
    assert {x for x, _ in shapes(multi_scale_crop(260, 340, 224))} == {260, 227, 195, 171}


def test_multi_scale_crop_follows_upright_pictures():
    wide, tall = multi_scale_crop(256, 340, 224), multi_scale_crop(340, 256, 224)
    assert {(y1, x1, y2, x2) for x1, y1, x2, y2, _ in wide} == {box[:4] for box in tall}


def test_multi_scale_boxes_lie_inside_every_picture():
    for height in range(1, 10):
        for width in range(1, 10):
            for size in range(1, min(height, width) + 1):
                for box in multi_scale_crop(height, width, size):
                    assert 0 <= box.x1 < box.x2 <= width
                    assert 0 <= box.y1 < box.y2 <= height


@pytest.mark.parametrize("crop", [center_crop, three_crop, ten_crop])
def test_boxes_lie_inside_every_picture(crop):
    for height in range(1, 20):
        for width in range(1, 20):
            for size in range(1, min(height, width) + 1):
                for box in crop(height, width, size):
                    assert 0 <= box.x1 < box.x2 == box.x1 + size <= width
                    assert 0 <= box.y1 < box.y2 == box.y1 + size <= height


@pytest.mark.parametrize("crop", [center_crop, three_crop, ten_crop, multi_scale_crop])
@pytest.mark.parametrize(("height", "width", "size"), [(256, 340, 257), (340, 256, 300), (8, 9, 0)])
def test_a_box_that_does_not_fit_is_named(crop, height, width, size):
    message = rf"^size \({size}\) must be 1 to the short side of the picture, {width} × {height}"
    with pytest.raises(ValueError, match=message):
        crop(height, width, size)


def test_cut_shows_the_box_as_a_view():
    frames = np.arange(2 * 6 * 8 * 3, dtype=np.uint8).reshape(2, 6, 8, 3)
    plain = cut(frames, Crop(1, 2, 5, 6, mirrored=False))
    assert (plain == frames[:, 2:6, 1:5]).all()
    assert np.shares_memory(plain, frames)


def test_cut_mirrors_left_to_right():
    frames = np.zeros((2, 4, 5, 3), dtype=np.uint8)
    frames[...] = np.arange(5)[:, None]  # each pixel holds its column
    mirrored = cut(frames, Crop(1, 0, 5, 4, mirrored=True))
    assert mirrored.shape == (2, 4, 4, 3)
    assert mirrored[1, 2, :, 0].tolist() == [4, 3, 2, 1]


def test_random_crops_reach_every_place_and_no_further():
    rng = np.random.default_rng(0)
    drawn = {crops.random_crop(5, 6, 4, rng, with_mirrors=True) for _ in range(200)}
    assert drawn == {
        Crop(x, y, x + 4, y + 4, mirrored)
        for x in range(3)
        for y in range(2)
        for mirrored in (False, True)
    }
    assert not any(crops.random_crop(5, 6, 4, rng, with_mirrors=False).mirrored for _ in range(20))
    with pytest.raises(ValueError, match=r"size \(6\) must be 1 to the short side"):
        crops.random_crop(5, 6, 6, rng, with_mirrors=False)


@pytest.mark.parametrize("name", ["ten_crop", "multi_scale"])
def test_a_drawn_crop_is_one_of_the_boxes(name):
    boxes = {"ten_crop": crops.ten_crop, "multi_scale": crops.multi_scale_crop}[name](40, 56, 16)
    draw = crops.TRAIN_CROPS[name]
    drawn = draw(40, 56, 16, np.random.default_rng(3), with_mirrors=True)
    assert drawn == boxes[np.random.default_rng(3).integers(len(boxes))]
    upright = draw(40, 56, 16, np.random.default_rng(3), with_mirrors=False)
    own = [box for box in boxes if not box.mirrored]
    assert upright == own[np.random.default_rng(3).integers(len(own))]
