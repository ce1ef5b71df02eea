"""Cameras and streams: frames as they come, by PyAV, and what waits for a network that is slower.

Layout: frames (H, W, 3), RGB.
"""

import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Generic, TypeVar

from stsm_cli.data.container import video_stream
from stsm_cli.data.damage import Messages, cause, hearing
from stsm_cli.data.display import Screen
from stsm_cli.data.frames import Frames
from stsm_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from av.error import FFmpegError
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

T = TypeVar("T")

OPEN_SECONDS, READ_SECONDS = 15.0, 10.0
"""After which a stream that is silent is given up."""
LOOK_MICROSECONDS = "1000000"  # ours: of the stream, before its first frame; FFmpeg takes five
WAKE_SECONDS = 0.5  # trap: on Windows Ctrl-C does not end a wait
MOST_DAMAGED = 100  # ours: packets in a row, a few seconds, that do not decode
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOGIN = re.compile(r"(?<=://)[^/?#]*@")
_CAMERAS = {  # FFmpeg's devices
    "linux": "v4l2",
    "darwin": "avfoundation",
    "win32": "dshow",
}


@dataclass(frozen=True)
class Source:
    """A camera or a stream, as FFmpeg opens it.

    Attributes:
        name: As the user named it, for messages; of an address without user and password.
        place: What is opened.
        format: Of a device; None: what the place shows itself.
        options: FFmpeg's.
    """

    name: str
    place: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def is_address(text: str) -> bool:
    """Tell whether this is the address of a stream, not a file's name."""
    return _ADDRESS.match(text) is not None


def stream(address: str) -> Source:
    """The stream at an address: http, rtsp, and what else FFmpeg knows."""
    options = {"analyzeduration": LOOK_MICROSECONDS}
    if address.lower().startswith("rtsp"):
        options["rtsp_transport"] = "tcp"  # ours: by UDP pictures come torn
    return Source(_LOGIN.sub("", address), address, options=options)


def camera(name: str, system: str = sys.platform) -> Source:
    """The camera of this number, or of this name or device file.

    Raises:
        UsageError: There are no cameras on this system, or they have no numbers.
    """
    called = f"--camera {name}"
    device = _CAMERAS.get(system)
    if device is None:
        raise UsageError(f"{called}: {system} has no cameras that are known here")
    if device == "v4l2":
        return Source(called, f"/dev/video{name}" if name.isdecimal() else name, device)
    if device == "avfoundation":  # trap: at its own rate, 29.97, many cameras do not open
        return Source(called, name, device, {"framerate": "30"})
    if name.isdecimal():
        raise UsageError(
            f"{called}: cameras have names on Windows, not numbers",
            hint='`--camera "Integrated Camera"`, as the Device Manager lists it',
        )
    return Source(called, f"video={name}", device)


class LiveVideo:
    """A camera or stream that is open.

    Args:
        source: What to open.

    Attributes:
        name: Of the source.

    Raises:
        DataError: It does not open, or holds no video.
    """

    def __init__(self, source: Source) -> None:
        import av

        self.name = source.name
        with hearing() as messages:
            try:
                self._container = av.open(
                    source.place,
                    format=source.format,
                    options=source.options,
                    timeout=(OPEN_SECONDS, READ_SECONDS),
                    metadata_errors="ignore",
                )
            except (av.FFmpegError, ValueError) as error:  # ValueError: FFmpeg has no such device
                raise _not_opened(source, error, messages) from error
        found = video_stream(self._container)
        if found is None:
            self._container.close()
            raise DataError(f"{self.name}: holds no video")
        self._stream: VideoStream = found
        self._stream.thread_type = "SLICE"  # trap: others hold frames back, one a thread

    @property
    def is_endless(self) -> bool:
        """False where it knows its end: nothing is lost by reading it slowly."""
        return self._container.duration is None

    def frames(self) -> Iterator[tuple[float | None, Frames]]:
        """The frames as they come, each with its time in seconds where that is known.

        Packets that do not decode are passed over: a network loses some.

        Raises:
            DataError: Nothing comes any more, or nothing that decodes.
        """
        import av

        screen: Screen | None = None
        with self._container, hearing() as messages:
            try:
                for frame in self._decoded():
                    messages.clear()  # else they pile up as long as it goes on
                    screen = screen or Screen((frame.width, frame.height))
                    yield frame.time, screen(frame)
            except av.FFmpegError as error:
                raise DataError(f"{self.name}: broke off ({_reason(error, messages)})") from error

    def _decoded(self) -> "Iterator[VideoFrame]":
        num_damaged = 0
        for packet in self._container.demux(self._stream):
            frames = self._tried(packet, is_last_try=num_damaged >= MOST_DAMAGED)
            num_damaged = 0 if frames else num_damaged + 1
            yield from frames

    def _tried(self, packet: "Packet[VideoStream]", *, is_last_try: bool) -> "list[VideoFrame]":
        import av

        try:
            return self._stream.decode(packet)
        except av.InvalidDataError:
            if is_last_try:
                raise
            return []


class Pending(Generic[T]):
    """Items between the thread that brings them and the one that takes them, in order.

    Args:
        room: Of how many it holds at most.
        may_drop: What comes when it is full takes the place of the oldest, and does not wait.

    Attributes:
        num_dropped: Items that nobody took.
    """

    def __init__(self, room: int, *, may_drop: bool) -> None:
        self._room, self._may_drop, self.num_dropped = room, may_drop, 0
        self._items: deque[T] = deque()
        self._news = Condition()
        self._is_over = False
        self._error: Exception | None = None

    def fill(self, items: Iterable[T]) -> None:
        """Bring all items, or as many as are taken before `close`; an error is told to `take`."""
        try:
            for item in items:
                if not self._put(item):
                    break
        except Exception as error:  # raised again by `take`
            self._error = error
        self.close()

    def take(self, at_least: int) -> list[T]:
        """All that has come, once there are so many; fewer only at the end, and then none.

        Raises:
            Exception: What `fill` met behind the last of them.
        """
        with self._news:
            while len(self._items) < min(at_least, self._room) and not self._is_over:
                self._news.wait(WAKE_SECONDS)
            taken = list(self._items)
            self._items.clear()
            self._news.notify_all()
        if not taken and self._error is not None:
            raise self._error
        return taken

    def close(self) -> None:
        """Nothing more comes, or is wanted."""
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def _put(self, item: T) -> bool:
        with self._news:
            while len(self._items) >= self._room and not self._may_drop and not self._is_over:
                self._news.wait(WAKE_SECONDS)
            if len(self._items) >= self._room:
                self._items.popleft()
                self.num_dropped += 1
            self._items.append(item)
            self._news.notify_all()
            return not self._is_over


def _not_opened(source: Source, error: "FFmpegError | ValueError", messages: Messages) -> DataError:
    hint = _camera_hint(error) if source.format else None
    return DataError(f"{source.name}: cannot be opened ({_reason(error, messages)})", hint=hint)


def _reason(error: "FFmpegError | ValueError", messages: Messages) -> str:
    import av

    if isinstance(error, av.error.ExitError):  # FFmpeg was called back, as the time was over
        return "nothing came in time"
    if isinstance(error, av.FFmpegError):
        return cause(error, messages)
    return str(error)


def _camera_hint(error: Exception) -> str | None:
    """The cure where a camera does not open, on Linux."""
    if isinstance(error, PermissionError):
        return "`sudo usermod -aG video $USER`, and a new login, let you use it"
    if not isinstance(error, FileNotFoundError):
        return None
    found = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
    return f"there are {', '.join(found)}" if found else "no camera is connected"
