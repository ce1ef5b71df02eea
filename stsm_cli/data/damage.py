"""Detection of the frames that a decoder could not make right.

FFmpeg conceals: a broken frame comes all the same, made up from others, and so does every frame
that is built from it, without a word. Decoders of older formats mark the first of them, those of
HEVC and JPEG only write a message. The one idea: whatever is decoded between a broken frame and the
next key frame is damaged. Where flipped bits are still a valid picture, nobody can tell.
"""

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING

from stsm_cli.data.deadline import alive

if TYPE_CHECKING:
    from av.error import FFmpegError
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Messages = list[tuple[int, str, str]]
"""Messages of FFmpeg: level, sender, text."""

# Codecs whose decoders mark what they conceal (`VideoFrame.is_corrupt`).
MARKING = (
    *("h264", "mpeg1video", "mpeg2video", "mpeg4", "h263", "h263i", "h263p", "flv", "vc1"),
    *("msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "wmv3", "rv10", "rv20", "rv30", "rv40"),
)
# Codecs whose decoders only tell of it: an error among their messages.
TELLING = ("hevc", "mjpeg")

_NOWHERE = logging.NullHandler()
_KEY_PICTURE = 1  # PyAV's number for a picture that is built from no other
_MOST_REORDERED = 16  # frames decoded before one that is shown earlier (H.264, HEVC)


@contextmanager
def hearing() -> Iterator[Messages]:
    """FFmpeg's messages on errors, of this thread, as they come."""
    import av

    logging.getLogger("libav").addHandler(_NOWHERE)  # messages without a listener are not printed
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # else a message comes late, with another file's
    with av.logging.Capture() as messages:
        yield messages


def cause(error: "FFmpegError", messages: Messages) -> str:
    """The last message, which is closer to the cause than the error's text; else that text."""
    return messages[-1][2].strip() if messages else str(error.strerror or error)


class Watch:
    """A stream that is decoded packet by packet; remembers what broke.

    Args:
        stream: The stream, of an open file.
        messages: Where its decoder's messages arrive.

    Attributes:
        stream: The same.
    """

    def __init__(self, stream: "VideoStream", messages: Messages) -> None:
        self.stream, self._messages = stream, messages
        self._name = stream.codec_context.name
        self._count = 0  # packets so far: their order is the order of decoding
        self._orders: dict[int, int] = {}  # of the packets, by time stamp
        self._keys: list[tuple[int, int | None]] = []  # key frames: order, time stamp
        self._broken: list[int] = []  # orders of what broke
        self._asked: list[tuple[int, int, int | None]] = []  # number, order, time stamp

    def decode(self, packet: "Packet[VideoStream]") -> "list[VideoFrame]":
        """The frames that a packet brings forth.

        Raises:
            av.FFmpegError: It does not decode.
        """
        alive()
        self._count += 1
        if packet.pts is not None:
            self._orders[packet.pts] = self._count
        if packet.is_corrupt:  # the file ends inside it, or the container calls it damaged
            self._broken.append(self._count)
        return self._decode(packet)

    @property
    def is_broken(self) -> bool:
        """Tell whether any frame so far was marked, or reported in a message."""
        return bool(self._broken)

    @property
    def told_of_container(self) -> str:
        """The complaint of the container's reader; empty: none, or it would have raised."""
        # trap: this one skips what it cannot read, and raises nothing
        told = (text.strip() for _, who, text in self._messages if who == "matroska,webm")
        return next(told, "")

    def drain(self) -> None:
        """Look at what is decoded already and would be shown later; no packet may follow."""
        self._decode(None)

    def ask(self, number: int, frame: "VideoFrame") -> None:
        """Have `damaged` tell of a frame that came."""
        self._asked.append((number, self._order(frame), frame.pts))

    def damaged(self) -> list[int]:
        """The numbers of the frames asked for that are damaged, by all that was decoded so far."""
        if not self._broken:
            return []
        self._keys.sort(key=itemgetter(0))
        self._broken.sort()
        return [number for number, order, time in self._asked if self._is_damaged(order, time)]

    def _decode(self, packet: "Packet[VideoStream] | None") -> "list[VideoFrame]":
        heard = len(self._messages)
        frames = self.stream.decode(packet)
        if self._name in TELLING and any(who == self._name for _, who, _ in self._messages[heard:]):
            self._broken.append(self._count)
        for frame in frames:
            if frame.is_corrupt:
                known = frame.pts in self._orders
                self._broken.append(self._order(frame) - (0 if known else _MOST_REORDERED))
            elif frame.key_frame and frame.pict_type == _KEY_PICTURE:
                self._keys.append((self._order(frame), frame.pts))
        return frames

    def _order(self, frame: "VideoFrame") -> int:
        return self._count if frame.pts is None else self._orders.get(frame.pts, self._count)

    def _is_damaged(self, order: int, time: int | None) -> bool:
        """Tell whether anything broke from the key frame before a frame up to itself."""
        before = bisect_right(self._keys, order, key=itemgetter(0))
        keys = (
            key
            for key, shown in reversed(self._keys[:before])
            if time is None or shown is None or shown <= time  # else it leads an open group
        )
        first = next(keys, -_MOST_REORDERED)
        return bisect_right(self._broken, order) > bisect_left(self._broken, first)
