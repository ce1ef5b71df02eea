"""A check that a video is as long as its file claims: one that was cut off still decodes."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from stsm_cli.printable import counted

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_MICROSECONDS = 1e6  # in which a container says how long it is


class Length:
    """The length of a video by the packets that came, and by what the container claims.

    Args:
        container: The open file.
        stream: Its video stream.
        ticks: Time stamps of the packets that came already.
    """

    def __init__(
        self, container: "InputContainer", stream: "VideoStream", ticks: Iterable[int] = ()
    ) -> None:
        self._container, self._stream = container, stream
        self._spans = [(tick, tick) for tick in ticks]  # first and last tick of each packet

    def __len__(self) -> int:
        """Packets that came."""
        return len(self._spans)

    @property
    def start(self) -> int:
        """The first time stamp that came."""
        return min(tick for tick, _ in self._spans)

    def add(self, packet: "Packet[VideoStream]") -> None:
        """Note that this packet came."""
        if packet.pts is not None:
            self._spans.append((packet.pts, packet.pts + (packet.duration or 0)))

    def shortfall(self, num_frames: int) -> str:
        """The early end of the file, after so many frames, in words; empty: there is none."""
        claimed, (came, slack) = self._claimed_seconds(), self._seconds()
        if claimed is None or claimed <= came + slack:
            return ""
        return f"ends after {counted(num_frames, 'frame')}, at {came:.2f} of {claimed:.2f} s"

    def _claimed_seconds(self) -> float | None:
        """The video stream's length by the header; in webm by its tag, or the file's length."""
        stream, container = self._stream, self._container
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        tag = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
        if tag:
            return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
        if container.duration is not None and len(container.streams) == 1:
            return container.duration / _MICROSECONDS
        return None

    def _seconds(self) -> tuple[float, float]:
        """The end of the last packet that came; and the error that this may have.

        Muxers differ in what they make of the last frame's duration, so one and a half of the
        longest time between two frames goes unnoticed; of a single frame, by the stream's rate.
        """
        if not self._spans or self._stream.time_base is None:
            return 0.0, 0.0
        ticks = sorted(tick for tick, _ in self._spans)
        base, rate = float(self._stream.time_base), self._stream.average_rate
        longest = max((base * (later - tick) for tick, later in pairwise(ticks)), default=0.0)
        if len(ticks) == 1:
            longest = float(1 / rate) if rate else 1.0  # ours: a WMV of one frame has no rate
        end = max(end for _, end in self._spans) - min(ticks[0], 0)
        return end * base, 1.5 * longest
