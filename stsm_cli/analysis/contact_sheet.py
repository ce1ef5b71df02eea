"""Pages of pictures, texts and tables that need nothing else: frames that a network sees.

As the page of results (`page.py`): one HTML file, its pictures inside, no script, nothing over the
network, and no name of a class or file is taken for HTML.

Layout: frames (T, H, W, C) uint8; C is 3, RGB, or the channels of optical flow (`data/flow.py`).
"""

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image, ImageDraw

from stsm_cli.analysis.template import fill
from stsm_cli.data.crops import Crop
from stsm_cli.data.flow import REST
from stsm_cli.data.frames import Frames

EXACT_PX = 128  # ours: pictures up to this width are kept to the pixel, larger ones as JPEG
JPEG_QUALITY = 90
LEGIBLE_PX, WIDEST_PX = 96, 240  # ours: on the page; what is smaller is shown enlarged
HEAT_COLOURS, HEAT_SHARE = "inferno", 0.65  # ours: dark to bright, also for the colour-blind
FLOW_STRENGTH = 4  # ours: most motion is of few pixels
BOX_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442")
"""Okabe and Ito (2008): apart for the colour-blind."""


@dataclass(frozen=True)
class Picture:
    """A picture (H, W, 3) and what stands below it."""

    pixels: Frames
    caption: str = ""

    @property
    def width(self) -> int:
        """On the page, in CSS pixels: enlarged by a whole factor where it is small."""
        own = int(self.pixels.shape[1])
        return min(WIDEST_PX, own) if own >= LEGIBLE_PX else own * -(-LEGIBLE_PX // own)

    @property
    def is_coarse(self) -> bool:
        """Tell whether it is enlarged, so that its pixels are seen."""
        return self.width > int(self.pixels.shape[1])

    @cached_property
    def uri(self) -> str:
        """The picture itself: to the pixel as PNG where it is small, else as JPEG."""
        is_exact, content = self.pixels.shape[1] <= EXACT_PX, io.BytesIO()
        kind = "PNG" if is_exact else "JPEG"
        Image.fromarray(self.pixels).save(content, kind, quality=JPEG_QUALITY)
        return f"data:image/{kind.lower()};base64,{b64encode(content.getvalue()).decode()}"


@dataclass(frozen=True)
class Words:
    """A heading of a part of a chapter, or a paragraph."""

    kind: Literal["heading", "paragraph"]
    text: str


@dataclass(frozen=True)
class Grid:
    """A table, which scrolls where it is long."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Strip:
    """Pictures side by side, below what they are.

    Attributes:
        text: What they are.
        pictures: In their order.
        places: Where in the video each is, 0 to 1.
    """

    text: str
    pictures: Sequence[Picture]
    places: Sequence[float] = ()
    kind: Literal["strip"] = "strip"


PageBlock = Words | Grid | Strip


@dataclass(frozen=True)
class SheetChapter:
    """A part of the page, with an entry in its list of contents."""

    anchor: str
    label: str
    blocks: Sequence[PageBlock]

    @property
    def title(self) -> tuple[str, str]:
        """Its entry among the contents."""
        return self.label, ""

    def html(self) -> Markup:
        """The chapter, with all texts escaped by the template."""
        return Markup(fill("sheet_chapter.html", chapter=self))


def sheet_html(title: str, chapters: Sequence[SheetChapter]) -> str:
    """The page; the same chapters give the same bytes."""
    return fill("sheet.html", title=title, chapters=chapters)


def as_rgb(frames: Frames) -> Frames:
    """Frames (T, H, W, 3) to look at.

    ours: of flow, its first field: x in red and y in green, brighter than the grey of rest to the
    right and downwards, and `FLOW_STRENGTH` times as strong.
    """
    if frames.shape[-1] == 3:
        return frames
    shown = np.full((*frames.shape[:-1], 3), REST, dtype=np.int64)
    shown[..., :2] += FLOW_STRENGTH * (frames[..., :2].astype(np.int64) - REST)
    return shown.clip(0, 255).astype(np.uint8)


def heated(frames: Frames, heat: npt.NDArray[np.floating[Any]]) -> Frames:
    """Frames (T, H, W, 3) that glow where `heat` (T, H, W) is high, as a share of its maximum."""
    share = heat / max(float(heat.max()), np.finfo(np.float32).tiny)
    colours = 255 * matplotlib.colormaps[HEAT_COLOURS](share)[..., :3]
    weight = HEAT_SHARE * share[..., None]
    glowing: Frames = ((1 - weight) * frames + weight * colours).round().astype(np.uint8)
    return glowing


def smaller(frames: Frames) -> Frames:
    """Frames whose sides are at most `EXACT_PX`, in proportion."""
    factor = EXACT_PX / max(frames.shape[1:3])
    if factor >= 1:
        return frames
    height, width = (max(1, round(side * factor)) for side in frames.shape[1:3])
    return np.stack([np.asarray(Image.fromarray(f).resize((width, height))) for f in frames])


def boxed(picture: Frames, boxes: Sequence[Crop]) -> Frames:
    """The picture (H, W, 3), a small one enlarged, with boxes of it, each of another colour."""
    factor = max(1, WIDEST_PX // picture.shape[1])
    image = Image.fromarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))
    pen = ImageDraw.Draw(image)
    for number, box in enumerate(boxes):
        x1, y1, x2, y2 = (factor * edge for edge in box[:4])
        colour = BOX_COLOURS[number % len(BOX_COLOURS)]
        pen.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour, width=2)
    return np.asarray(image)
