"""The pages of `stsm inspect`, read as text: a browser shows its frame in `test_page.py`."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from stsm_cli.analysis.contact_sheet import (
    Grid,
    Picture,
    SheetChapter,
    Strip,
    Words,
    as_rgb,
    boxed,
    heated,
    sheet_html,
    smaller,
)
from stsm_cli.data.crops import Crop

NAME = "<script>alert(1)</script>"


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def pictures(html):
    """The pictures in a page: kind and pixels of each."""
    found = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', html)
    return [
        (kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))) for kind, data in found
    ]


def page(*blocks):
    return sheet_html("a page", [SheetChapter("one", "One", blocks)])


def test_small_pictures_are_kept_to_the_pixel_and_large_ones_nearly():
    small, large = noise(20, 24), np.full((130, 140, 3), 77, np.uint8)
    found = pictures(page(Strip("two", [Picture(small), Picture(large)])))
    assert [kind for kind, _ in found] == ["png", "jpeg"]
    assert (found[0][1] == small).all()
    assert np.abs(found[1][1].astype(int) - large).max() <= 2


@pytest.mark.parametrize(
    ("own", "shown", "is_coarse"),
    [(32, 96, True), (40, 120, True), (96, 96, False), (224, 224, False), (400, 240, False)],
)
def test_what_is_small_is_shown_enlarged_by_a_whole_factor(own, shown, is_coarse):
    picture = Picture(np.zeros((own, own, 3), np.uint8))
    assert (picture.width, picture.is_coarse) == (shown, is_coarse)


def test_a_page_needs_nothing_else_and_obeys_no_name():
    strip = Strip(NAME, [Picture(noise(4, 4), NAME)], [0.25])
    html = page(Words("heading", NAME), Words("paragraph", NAME), Grid([NAME], [[NAME]]), strip)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)") == 7
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert re.findall(r'(?:src|href)="(?!data:|#)', html) == []
    assert re.findall(r"url\(|@import|https?:", html) == []
    assert '<i style="left:25.00%"></i>' in html
    assert '<a href="#one"><b>One</b></a>' in html
    assert html == page(
        Words("heading", NAME), Words("paragraph", NAME), Grid([NAME], [[NAME]]), strip
    )


def test_a_table_of_400_classes_scrolls():
    html = page(Grid(["class"], [[f"class {k}"] for k in range(400)]))
    assert html.count("<tr><td>") == 400
    assert ".table { max-height: 34rem; overflow-y: auto;" in html


def test_frames_glow_by_their_share_of_the_maximum():
    frames = np.full((2, 1, 2, 3), 100, np.uint8)
    glowing = heated(frames, np.array([[[0, 2]], [[4, 0]]], np.float32))
    assert (glowing[0, 0, 0] == 100).all()
    bright = np.array([252, 255, 164])  # inferno's end
    assert np.abs(glowing[1, 0, 0] - (0.35 * 100 + 0.65 * bright)).max() <= 1
    assert not (glowing[0, 0, 1] == 100).any()
    assert (heated(frames, np.zeros((2, 1, 2), np.float32)) == frames).all()


def test_flow_is_seen_in_red_and_green():
    fields = np.full((1, 1, 2, 4), 128, np.uint8)
    fields[0, 0, 1] = [138, 28, 0, 0]
    assert as_rgb(fields).tolist() == [[[[128, 128, 128], [168, 0, 128]]]]
    frames = noise(1, 2, 2)
    assert as_rgb(frames) is frames


def test_boxes_are_drawn_where_they_are():
    (picture,) = boxed(np.zeros((20, 30, 3), np.uint8), [Crop(5, 0, 25, 20, False)])[None]
    assert picture.shape == (160, 240, 3)
    columns = np.flatnonzero(picture[80].any(-1))
    assert columns.tolist() == [40, 41, 198, 199]


def test_smaller_frames_keep_their_proportion():
    assert smaller(noise(2, 128, 256)).shape == (2, 64, 128, 3)
    frames = noise(2, 30, 40)
    assert smaller(frames) is frames
