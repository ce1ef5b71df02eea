"""Which frame each packet of a video holds, and where to begin in order to decode it.

The one idea: a frame is known by its time stamp. Sorted, the time stamps of all packets number the
frames in order of display without decoding any of them. Where packets do not tell the frames,
nothing is claimed, and the video has to be decoded from its start.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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
        is_plain: Whether order of decoding tells the same story as order of display: no frame is
            hidden by an edit list, none is shown before the key frame that is decoded first, and
            each key frame forgets all that came before it.
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
    resets = _Resets(stream)
    frames: list[tuple[int, int]] = []  # time stamp, time stamp of its key frame
    keys: list[int] = []
    latest, is_plain = 0, True
    for packet in container.demux(stream):
        alive()
        time = packet.pts
        if packet.size == 0:  # the flush at the end
            continue
        if time is None:
            return None
        if packet.is_keyframe:
            is_plain = is_plain and time >= latest and resets.is_one(packet)
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


class _Resets:
    """Tells the key frames after which nothing is built from what came before.

    Others, of open groups of pictures or renewed piece by piece, are called key frames too.
    """

    def __init__(self, stream: "VideoStream") -> None:
        header = stream.codec_context.extradata or b""
        self._layout = _LAYOUTS.get(stream.codec_context.name)
        self._length = 0  # bytes that tell how long a unit is; 0: unknown
        if self._layout and len(header) > self._layout.place and header[0] == 1:
            self._length = (header[self._layout.place] & 3) + 1

    def is_one(self, packet: "Packet[VideoStream]") -> bool:
        """Whether this key frame is one; not, where its packet does not tell."""
        if self._layout is None:
            return True  # VP9 knows no other
        layout = self._layout
        types = (head >> layout.shift & layout.mask for head in self._heads(bytes(packet)))
        return any(kind in layout.resets for kind in types)

    def _heads(self, content: bytes) -> Iterator[int]:
        """The first byte of each unit of a packet."""
        start = self._length
        while 0 < start < len(content):
            yield content[start]
            start += int.from_bytes(content[start - self._length : start], "big") + self._length


@dataclass(frozen=True)
class _Layout:
    """Where a codec's units tell what they are (ISO/IEC 14496-15).

    Attributes:
        place: Of the byte of the stream's header that tells how long lengths are.
        shift: Bits below the type in a unit's first byte.
        mask: The bits of the type.
        resets: Types of pictures that forget all others.
    """

    place: int
    shift: int
    mask: int
    resets: tuple[int, ...]


_LAYOUTS = {
    "h264": _Layout(place=4, shift=0, mask=31, resets=(5,)),
    "hevc": _Layout(place=21, shift=1, mask=63, resets=(16, 17, 18, 19, 20)),
}
