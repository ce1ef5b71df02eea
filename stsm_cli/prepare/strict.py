"""Decoding that notices damage: what loses, conceals or marks a frame ends the video.

Left to itself, FFmpeg conceals: with 400 bytes of an H.264 file flipped, every frame may come and
no error is raised. Here the first broken frame or packet ends the video, and the length that the
container claims is compared with what came. Other complaints (a message that is cut off, pictures
from before a cut that are missed by none) are a note. VP8 and VP9 have no checksum: where flipped
bytes are still a valid picture, it goes unnoticed; and MPEG-TS claims no length.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import av

from stsm_cli.data.arrivals import Arrivals
from stsm_cli.data.container import full_name, video_stream
from stsm_cli.data.damage import MARKING, TELLING, Messages, Watch, cause, hearing
from stsm_cli.data.length import Length
from stsm_cli.data.packets import PacketIndex, index_packets
from stsm_cli.prepare.check import UnusableError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class StrictVideo:
    """An open video; see `open_strictly`.

    Attributes:
        fps: Frames a second, the average; 0 where the file does not say.
    """

    def __init__(self, container: "InputContainer", stream: "VideoStream", log: Messages) -> None:
        self._container, self._stream, self._log = container, stream, log
        self._watch, self._arrivals = Watch(stream, log), Arrivals(stream)
        self._length = Length(container, stream)
        self.fps = float(stream.average_rate or 0)

    @property
    def note(self) -> str:
        """FFmpeg's first complaint; empty where there was none."""
        return f"{self._log[0][1]}: {self._log[0][2].strip()}" if self._log else ""

    def frames(self) -> Iterator["VideoFrame"]:
        """All frames in display order, not turned upright.

        Raises:
            UnusableError: One is broken, there is none, or the file ends early.
        """
        num_frames, packet = 0, None
        try:
            for packet in self._packets():
                for frame in self._watch.decode(packet):
                    if frame.is_corrupt:
                        raise UnusableError("corrupt", f"frame {num_frames} is damaged")
                    self._arrivals.note(frame)
                    yield frame
                    num_frames += 1
                if self._watch.is_broken:  # by what the decoder says of it
                    told, place = self._log[-1][2].strip(), self._place(packet, num_frames)
                    raise UnusableError("corrupt", f"{place} is damaged ({told})")
        except av.FFmpegError as error:
            raise self._broken(error, self._place(packet, num_frames)) from error
        self._check_end(num_frames)
        if gap := self._arrivals.gap:
            raise UnusableError("corrupt", gap)

    def index(self) -> PacketIndex | None:
        """The frames as their packets announce them; None where these do not tell.

        Raises:
            UnusableError: The file cannot be read, or seems to end early.
        """
        try:
            index = index_packets(self._container, self._stream)
        except av.FFmpegError as error:
            raise self._broken(error, "the container") from error
        if index is not None:
            self._length = Length(self._container, self._stream, index.times)
            self._check_end(len(index.times))
        return index

    def frames_from(self, key: int) -> Iterator["VideoFrame"]:
        """The frames from the key frame at this time stamp on.

        Raises:
            UnusableError: One is broken.
        """
        try:
            self._container.seek(key, stream=self._stream)
            for packet in self._container.demux(self._stream):
                frames = self._watch.decode(packet)
                if self._watch.is_broken:
                    raise UnusableError("corrupt", f"a frame after tick {key} is damaged")
                yield from frames
        except av.FFmpegError as error:
            raise self._broken(error, f"a frame after tick {key}") from error

    def _packets(self) -> Iterator["Packet[VideoStream]"]:
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:  # the file ends inside it, or the container calls it damaged
                self._check_end(len(self._length))
                raise UnusableError("corrupt", f"packet {len(self._length)} is damaged")
            self._length.add(packet)
            self._arrivals.expect(packet)
            yield packet

    def _place(self, packet: "Packet[VideoStream] | None", num_frames: int) -> str:
        """The frame that a packet holds; by its time, as frames come later than their packets."""
        if packet is None or packet.pts is None or not self.fps:
            return f"frame {num_frames}"
        seconds = float((packet.pts - self._length.start) * packet.time_base)
        return f"frame {round(seconds * self.fps)} ({seconds:.2f} s)"

    def _check_end(self, num_frames: int) -> None:
        """Refuse a video of which less came than the container claims."""
        if shortfall := self._length.shortfall(num_frames):
            raise UnusableError("short", shortfall)
        if not num_frames:
            raise UnusableError("corrupt", "holds no frame")
        if told := self._watch.told_of_container:
            raise UnusableError("corrupt", f"the container is damaged ({told})")

    def _broken(self, error: av.FFmpegError, place: str) -> UnusableError:
        return _unusable(error, f"{place} does not decode", self._log)


@contextmanager
def open_strictly(path: Path) -> Iterator[StrictVideo]:
    """The video stream of a file, to be decoded by one thread that stops at any damage.

    Decoders that mark what they conceal are not told to stop by themselves: they would at anything
    that is not as it should be.

    Raises:
        UnusableError: The file does not open, or holds no video stream.
    """
    with hearing() as log:
        try:
            container = av.open(full_name(path), metadata_errors="ignore")
        except av.FFmpegError as error:
            raise _unusable(error, "does not open", log) from error
        with container:
            stream = video_stream(container)
            if stream is None:
                raise UnusableError("corrupt", "holds no video stream")
            stream.codec_context.thread_count = 1
            if stream.codec_context.name not in (*MARKING, *TELLING):
                stream.codec_context.options = {"err_detect": "explode"}
            yield StrictVideo(container, stream, log)


def _unusable(error: av.FFmpegError, what: str, log: Messages) -> UnusableError:
    """The error with its cause; another attempt may succeed where the system was in the way."""
    lasting = not isinstance(error, OSError | MemoryError)
    return UnusableError("corrupt", f"{what} ({cause(error, log)})", lasting=lasting)
