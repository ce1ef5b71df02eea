"""The frame that each packet of a video holds, and the key frame to decode it from.

The one idea: a frame is known by its time stamp. Sorted, the time stamps of all packets number the
frames in order of display without decoding any of them. Where packets do not tell the frames,
nothing is claimed, and the video has to be decoded from its start.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from stsm_cli.data.deadline import alive

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Containers, as FFmpeg names them, that store a time stamp and a key-frame flag with each packet.
_INDEXED_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
# trap: a packet of VP8 may hold a frame that is never shown
_ONE_FRAME_A_PACKET = ("h264", "hevc", "vp9")


@dataclass(frozen=True)
class PacketIndex:
    """The frames of a video as its packets announce them.

    Attributes:
        times: Time stamps of the frames in order of display.
        keys: For each, the time stamp of the key frame from which it can be decoded.
        is_plain: Whether the order of decoding agrees with the order of display: no frame is
            hidden by an edit list, none is shown before the key frame that is decoded first, and
            nothing after a key frame is built from what came before it.
    """

    times: tuple[int, ...]
    keys: tuple[int, ...]
    is_plain: bool


def index_packets(container: "InputContainer", stream: "VideoStream") -> PacketIndex | None:
    """The index of a video, read to its end; None where packets do not tell the frames."""
    if (
        container.format.name not in _INDEXED_CONTAINERS
        or stream.codec_context.name not in _ONE_FRAME_A_PACKET
    ):
        return None
    judge = _Keys(stream).judge
    frames: list[tuple[int, int]] = []  # time stamp, time stamp of its key frame
    keys: list[int] = []
    latest, is_plain = 0, True
    for packet in _packets(container, stream):
        time = packet.pts
        if time is None:
            return None
        if packet.is_keyframe:
            is_entry, is_reset = judge(packet)
            is_plain = is_plain and time >= latest and is_reset
            if is_entry:
                keys.append(time)
        if not keys or time < keys[0]:
            return None
        key = keys[-1]
        if time < key:  # shown before the newest key frame: it may need the one before that
            key = next(key for key in reversed(keys) if key <= time)
            is_plain = False
        if packet.is_discard:
            is_plain = False
        else:
            frames.append((time, key))
        latest = max(latest, time)
    frames.sort()
    times = tuple(time for time, _ in frames)
    if len(set(times)) < len(times):
        return None
    return PacketIndex(times, tuple(key for _, key in frames), is_plain)


def _packets(container: "InputContainer", stream: "VideoStream") -> "Iterator[Packet[VideoStream]]":
    for packet in container.demux(stream):
        alive()
        if packet.size:  # else it is the flush at the end
            yield packet


class _Keys:
    """Judgement of key frames by their packets: containers call many things key frames.

    With a reset, nothing after it is built from what came before. An entry is good to begin at:
    only frames shown before it are built from earlier ones. Neither is a picture at which others
    begin to be renewed piece by piece.

    Source: H.264 and HEVC, types of units; ISO/IEC 14496-15, their lengths.
    """

    def __init__(self, stream: "VideoStream") -> None:
        self._codec, header = stream.codec_context.name, stream.codec_context.extradata or b""
        place = {"h264": 4, "hevc": 21}.get(self._codec, len(header))
        # bytes that tell how long a unit is; 0: not known
        self._length = (header[place] & 3) + 1 if len(header) > place and header[0] == 1 else 0

    def judge(self, packet: "Packet[VideoStream]") -> tuple[bool, bool]:
        """Tell whether it is an entry, and whether it is a reset."""
        if self._codec == "h264":
            units = [(unit[0] & 31, unit) for unit in self._units(bytes(packet))]
            is_reset = any(kind == 5 for kind, _ in units)
            return is_reset or any(k == 6 and _renews_at_once(unit) for k, unit in units), is_reset
        if self._codec == "hevc":
            types = {unit[0] >> 1 & 63 for unit in self._units(bytes(packet))}
            return not types.isdisjoint(range(16, 24)), not types.isdisjoint(range(16, 21))
        return True, True  # VP9 knows no others

    def _units(self, content: bytes) -> Iterator[bytes]:
        """The units of a packet."""
        start = self._length
        while 0 < start < len(content):
            end = start + int.from_bytes(content[start - self._length : start], "big")
            yield content[start:end] or b"\0"
            start = end + self._length


def _renews_at_once(unit: bytes) -> bool:
    """Tell whether a unit of messages (SEI) says that all pictures from its own on are right.

    Source: H.264, 7.3.2.3 and D.1.8: a recovery point, whose first bit is 1 where none is awaited.
    """
    rest = iter(unit.replace(b"\0\0\3", b"\0\0")[1:])
    with suppress(StopIteration):
        while True:
            kind, size = _long_number(rest), _long_number(rest)
            content = bytes(islice(rest, size))
            if kind == 6:
                return content[:1] >= b"\x80"
    return False


def _long_number(content: Iterator[int]) -> int:
    """A number of the next bytes: those of 255 go on."""
    number = 0
    while (byte := next(content)) == 255:
        number += byte
    return number + byte
