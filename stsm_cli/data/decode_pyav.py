"""Frames of a video by PyAV: from the key frame before each of them, or from the start.

Frames after a seek are used only where nothing contradicts them; else the video is decoded from its
start, where a frame that is marked as damaged is damaged. Frames are shown as the file
says (`display`), all in the first frame's size.
"""

import math
from collections.abc import Callable, Iterable, Iterator, KeysView, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stsm_cli.data.arrivals import Arrivals
from stsm_cli.data.container import open_container
from stsm_cli.data.damage import Watch, hearing
from stsm_cli.data.display import Screen, Size, display_of
from stsm_cli.data.frames import Frames, Indices, Resize, VideoInfo
from stsm_cli.data.length import Length
from stsm_cli.data.packets import PacketIndex, index_packets
from stsm_cli.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


MakeScreen = Callable[[Size], "Callable[[VideoFrame], Frames]"]


class _DoubtError(Exception):
    """Raised where the frames after a seek may not be those asked for."""


def read_pyav(
    path: Path,
    wanted: Indices | None,
    resize: Resize,
    *,
    from_start: bool = False,
    keep_damaged: bool = False,
    screen: MakeScreen = Screen,
) -> Frames:
    """Frames (T, H, W, C) of the ascending indices `wanted`, resized; None for all frames.

    Args:
        path: The video.
        wanted: What to read.
        resize: Done to each frame as it comes.
        from_start: Do not seek.
        keep_damaged: Give damaged frames too.
        screen: From the first frame's size to what makes a picture (H, W, C) of a frame; RGB.

    Raises:
        DataError: The video holds no frame, ends before an index, or a frame is damaged.
        av.FFmpegError: It does not decode.
    """
    import av

    if wanted is not None and not from_start and len(wanted) != wanted[-1] + 1:  # not 0, 1, 2, ...
        try:
            return _read_from_keys(path, wanted, resize, screen)
        except (_DoubtError, av.FFmpegError):
            pass  # the start tells whether there is anything to doubt
    return _read_from_start(path, wanted, resize, screen, keep_damaged=keep_damaged)


def probe_pyav(path: Path) -> VideoInfo:
    """The video's length, rate and size, by decoding all of it.

    Raises:
        DataError: The video holds no frame, or ends early, inside a frame.
        av.FFmpegError: It does not decode.
    """
    import av

    num_frames, size, cut = 0, (0, 0), ""
    with _open(path) as (container, stream, watch):
        length, arrivals = Length(container, stream), Arrivals(stream)

        def on_packet(packet: "Packet[VideoStream]") -> None:
            nonlocal cut
            if packet.is_corrupt:  # the file ends inside it
                cut = length.shortfall(len(length))
            length.add(packet)
            arrivals.expect(packet)

        try:
            for number, frame in _frames(container, stream, watch, on_packet=on_packet):
                arrivals.note(frame)
                if number == 0:
                    size = display_of(frame).size(frame.width, frame.height)
                watch.ask(number, frame)
                num_frames = number + 1
        except av.FFmpegError as error:
            if cut:
                raise DataError(f"{path}: {cut}") from error
            raise
        fps = float(stream.average_rate or 0)
        num_damaged, shortfall = len(watch.damaged()), length.shortfall(num_frames)
        faults = tuple(_faults(watch, arrivals, num_damaged))
    if not num_frames:
        raise DataError(f"{path}: {shortfall or 'holds no frame'}")
    return VideoInfo(num_frames, fps, *size, num_damaged, shortfall, faults)


def _faults(watch: Watch, arrivals: Arrivals, num_damaged: int) -> Iterator[str]:
    if told := watch.told_of_container:
        yield f"the container is damaged ({told})"
    if arrivals.gap:
        yield arrivals.gap
    if watch.is_broken and not num_damaged:
        yield "a part of which no frame is made is damaged"


def packet_index(path: Path) -> PacketIndex | None:
    """The video's index, as `index_packets` gives it.

    Raises:
        DataError: The file holds no video stream.
        av.FFmpegError: It cannot be read.
    """
    # an open file has decoded a first frame, unless it is told to skip them: half of the time
    with hearing() as messages, open_container(path, messages, skip_frame="all") as opened:
        return index_packets(*opened)


@contextmanager
def _open(path: Path) -> "Iterator[tuple[InputContainer, VideoStream, Watch]]":
    with hearing() as messages, open_container(path, messages) as (container, stream):
        yield container, stream, Watch(stream, messages)


def _frames(
    container: "InputContainer",
    stream: "VideoStream",
    watch: Watch,
    last: float = math.inf,
    on_packet: "Callable[[Packet[VideoStream]], None]" = lambda packet: None,
) -> "Iterator[tuple[int, VideoFrame]]":
    """The frames from the start to number `last` at least, with their numbers."""
    count = 0
    for packet in container.demux(stream):
        on_packet(packet)
        for frame in watch.decode(packet):
            yield count, frame
            count += 1
        if count > last:
            if packet.size:  # else it was the last one, and has drained the decoder
                watch.drain()
            return


def _read_from_start(
    path: Path,
    wanted: Indices | None,
    resize: Resize,
    screen: MakeScreen,
    *,
    keep_damaged: bool,
) -> Frames:
    """Frames by counting all that come before them."""
    with _open(path) as (container, stream, watch):
        last = math.inf if wanted is None else int(wanted[-1])
        numbered = _frames(container, stream, watch, last)
        start = next(numbered, None)
        if start is None:
            raise DataError(f"{path}: holds no frame")
        size = start[1].width, start[1].height
        chosen = _choose(chain([start], numbered), wanted, watch)
        found = _fill(_pictures(chosen, screen(size), resize), wanted)
        damaged = watch.damaged()
    if found is None:
        total = probe_pyav(path).num_frames
        raise DataError(f"{path}: index {last} is past the end, {total} frames decode")
    if damaged and not keep_damaged:
        more = f", and {len(damaged) - 1} more that are read" if len(damaged) > 1 else ""
        raise DataError(f"{path}: frame {damaged[0]} is damaged{more}")
    return found


def _choose(
    numbered: "Iterable[tuple[int, VideoFrame]]", wanted: Indices | None, watch: Watch
) -> "Iterator[VideoFrame]":
    """The wanted frames, of which `watch` can tell then whether they are damaged."""
    chosen = None if wanted is None else set(wanted.tolist())
    for number, frame in numbered:
        if chosen is None or number in chosen:
            watch.ask(number, frame)
            yield frame


def _read_from_keys(path: Path, wanted: Indices, resize: Resize, screen: MakeScreen) -> Frames:
    """Frames by their time stamps.

    Raises:
        _DoubtError: Packets do not tell the frames, or one does not come as it should.
        av.FFmpegError: The file does not decode.
    """
    with hearing() as messages, open_container(path, messages) as (container, stream):
        size = stream.width, stream.height  # trap: they change as frames of another size come
        index = index_packets(container, stream)
        if index is None or wanted[-1] >= len(index.times):
            raise _DoubtError
        runs = (
            _decode_run(
                container,
                Watch(stream, messages),
                index.keys[run[0]],
                [index.times[i] for i in run],
                size,
            )
            for run in _runs(wanted.tolist(), index.keys)
        )
        found = _fill(_pictures(chain.from_iterable(runs), screen(size), resize), wanted)
    assert found is not None  # each run brings all of its frames
    return found


def _runs(wanted: Iterable[int], keys: Sequence[int]) -> Iterator[list[int]]:
    """The indices in parts that are decoded straight on: a seek would leave nothing out."""
    run: list[int] = []
    for index in wanted:
        if run and index != run[-1] + 1 and keys[index] != keys[run[-1]]:
            yield run
            run = []
        run.append(index)
    yield run


def _decode_run(
    container: "InputContainer", watch: Watch, key: int, times: list[int], size: Size
) -> "Iterator[VideoFrame]":
    """The frames of these time stamps, decoded from the key frame at time `key` straight on."""
    container.seek(key, stream=watch.stream)
    numbers = {time: number for number, time in enumerate(times)}
    for packet in _packets_from(container, watch.stream, key, numbers.keys()):
        for frame in watch.decode(packet):
            if frame.pts in numbers:
                if (frame.width, frame.height) != size:
                    raise _DoubtError
                watch.ask(numbers.pop(frame.pts), frame)
                yield frame
        if not numbers:
            break
    if packet.size:  # else it was the last one, and has drained the decoder
        watch.drain()
    if numbers or watch.damaged():
        raise _DoubtError


def _packets_from(
    container: "InputContainer", stream: "VideoStream", key: int, times: "KeysView[int]"
) -> "Iterator[Packet[VideoStream]]":
    """The packets from the key frame at time `key` on, without some that none of `times` needs."""
    codec = stream.codec_context
    for count, packet in enumerate(container.demux(stream)):
        if count == 0 and (packet.pts is None or packet.pts > key):
            raise _DoubtError  # the seek went too far
        if codec.name == "h264":  # frames that no other is built from cost a third of the time
            codec.skip_frame = "DEFAULT" if packet.pts in times else "NONREF"
        yield packet


def _pictures(
    frames: "Iterable[VideoFrame]", show: "Callable[[VideoFrame], Frames]", resize: Resize
) -> Iterator[Frames]:
    """Frames as pictures (H, W, C), resized."""
    return (resize(show(frame)[None])[0] for frame in frames)


def _fill(pictures: Iterator[Frames], wanted: Indices | None) -> Frames | None:
    """The pictures of the indices `wanted` (None: all) in one array; None if there are fewer."""
    if wanted is None:
        return np.stack(list(pictures))
    first = next(pictures, None)
    if first is None:
        return None
    frames = np.empty((len(wanted), *first.shape), dtype=np.uint8)
    filled = 0
    for filled, picture in enumerate(chain([first], pictures), 1):
        frames[filled - 1] = picture
    return frames if filled == len(wanted) else None


def each_pyav(path: Path) -> Iterator[Frames]:
    """All frames of a video, each as RGB (H, W, 3), one after the other, damaged ones too.

    Raises:
        av.FFmpegError: It does not decode.
    """
    with _open(path) as (container, stream, watch):
        show: Screen | None = None
        for _, frame in _frames(container, stream, watch):
            show = show or Screen((frame.width, frame.height))
            yield show(frame)
