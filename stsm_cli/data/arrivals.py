"""Frames that should come, and do not: a decoder may leave one out without a word."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class Arrivals:
    """A check that each packet's frame comes, where a packet holds one.

    Those before the first that comes were cut off: what they are built from is not in the file.
    """

    def __init__(self, stream: "VideoStream") -> None:
        self._is_told = stream.codec_context.name in ("h264", "hevc")
        self._due: set[int] = set()
        self._first: int | None = None

    def expect(self, packet: "Packet[VideoStream]") -> None:
        """Note that a frame is due with this packet."""
        if packet.size and packet.pts is not None and not packet.is_discard:
            self._due.add(packet.pts)

    def note(self, frame: "VideoFrame") -> None:
        """Note that this frame came."""
        if frame.interlaced_frame or frame.pts not in self._due:
            self._is_told = False  # two fields may be two packets; or time stamps are guessed
            return
        self._due.remove(frame.pts)
        self._first = frame.pts if self._first is None else self._first

    @property
    def gap(self) -> str:
        """The number of frames missing between others that came, in words; empty: none is."""
        if not self._is_told or self._first is None:
            return ""
        num_lost = sum(time > self._first for time in self._due)
        if num_lost == 1:
            return "1 frame between the others does not come"
        return f"{num_lost} frames between the others do not come" if num_lost else ""
