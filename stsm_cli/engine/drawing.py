"""A copy of a video with a text on each of its frames."""

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stsm_cli.atomic import draft_name
from stsm_cli.data.container import full_name
from stsm_cli.data.decode import each_frame
from stsm_cli.data.frames import Frames, VideoInfo
from stsm_cli.errors import StsmError
from stsm_cli.printable import one_line

LEGIBLE_PX = 240  # ours: smaller pictures are enlarged, so that a text fits
LARGEST_PX = 4096  # ours: of an enlarged picture; x264 takes 16384, players less
FONT_SHARE, SMALLEST_PX = 14, 10  # ours: height of the letters, in parts of the short side
DEFAULT_FPS = 25  # ours: where the file does not say
ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "x264-params": "log-level=error"}


def draw(path: Path, out: Path, info: VideoInfo, caption: Callable[[int], str]) -> None:
    """Write the frames of `path` to `out`, an MP4 file, with their captions in the upper corner.

    Sound is left out.

    Args:
        path: A video that decodes.
        out: The file to write; half of one is deleted.
        info: Of the video.
        caption: Gives the text of a frame.

    Raises:
        DataError: The video does not decode.
        StsmError: The file cannot be written.
    """
    import av
    from av.codec.codec import UnknownCodecError

    draft = out.with_name(draft_name(out))
    try:
        _encode(path, draft, info, caption)
        draft.replace(out)
    except (OSError, av.FFmpegError) as error:
        raise StsmError(f"{out}: cannot be written ({error.strerror or error})") from None
    except UnknownCodecError as error:
        raise StsmError(f"{out}: cannot be written (this FFmpeg has no {error})") from None
    finally:
        with suppress(OSError):
            draft.unlink()


def _encode(path: Path, draft: Path, info: VideoInfo, caption: Callable[[int], str]) -> None:
    import av

    rate = Fraction(info.fps or DEFAULT_FPS).limit_denominator(1001)
    with av.open(full_name(draft), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=ENCODER_OPTIONS)
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(each_frame(path)):
            picture = captioned(enlarged(frame), caption(number))
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def enlarged(picture: Frames) -> Frames:
    """The picture (H, W, 3), a small one enlarged by a whole factor; H and W made even."""
    short, long = sorted(picture.shape[:2])
    factor = max(1, min(round(LEGIBLE_PX / short), LARGEST_PX // long))
    large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = (max(2, size - size % 2) for size in large.shape[:2])
    return np.ascontiguousarray(large[:height, :width])


def captioned(picture: Frames, text: str) -> Frames:
    """The picture (H, W, 3) with white text on a dark box in its upper left corner."""
    height, width = picture.shape[:2]
    font = _font(max(SMALLEST_PX, min(height, width) // FONT_SHARE))
    gap = int(font.size) // 3
    line = _fitting(one_line(text), font, width - 2 * gap)
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image, "RGBA")
    _, _, right, bottom = pen.textbbox((gap, gap), line, font=font)
    pen.rectangle((0, 0, right + gap, bottom + gap), fill=(0, 0, 0, 170))
    pen.text((gap, gap), line, font=font, fill=(255, 255, 255, 255))
    return np.asarray(image)


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: int) -> str:
    """The text, its beginning shortened until it fits: the score stands at its end."""
    shown = text
    while text and font.getlength(shown) > room:
        text = text[1:]
        shown = f"…{text}"
    return shown


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own font, which is there wherever it is."""
    file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(file), size_px)
