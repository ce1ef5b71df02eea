"""Which frame each packet of a video holds, and where to begin in order to decode it.

The one idea: a frame is known by its time stamp. Sorted, the time stamps of all packets number the
frames in order of display without decoding any of them. Where packets do not tell the frames,
nothing is claimed, and the video has to be decoded from its start.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
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
            hidden by an edit list, and none is shown before the key frame that is decoded first.
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
    frames: list[tuple[int, int]] = []  # time stamp, time stamp of its key frame
    keys: list[int] = []
    latest, is_plain = 0, True
    for packet in container.demux(stream):
        time = packet.pts
        if packet.size == 0:  # the flush at the end
            continue
        if time is None:
            return None
        if packet.is_keyframe:
            is_plain = is_plain and time >= latest
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
