"""One split of a data set, ready to be read: from memory where it fits, else from its files."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stsm_cli.data.deadline import pool_of
from stsm_cli.data.decode import Decoder, read_frames
from stsm_cli.data.flow import Flow, flow_path, read_fields, stacked
from stsm_cli.data.flow_report import told_without_flow, videos_without_flow
from stsm_cli.data.frames import Frames, resized_size
from stsm_cli.data.manifest import Manifest, VideoRecord, read_manifest
from stsm_cli.data.motion import MotionCurves
from stsm_cli.data.sampling import MotionCurve
from stsm_cli.errors import DataError
from stsm_cli.memory import available_memory
from stsm_cli.progress import SILENT, Progress

CACHE_LIMIT_BYTES = 4 * 2**30  # ours: train and val of the embedded set take 1 GB
CACHE_SHARE = 0.5  # ours: of the memory that is available; the rest is for the network


@dataclass(frozen=True)
class Videos:
    """One split, ready to be read.

    Attributes:
        manifest: What the split holds.
        short_side_px: Size to which frames are resized.
        decoder: Which library decodes.
        cache: All videos, decoded and resized, or None; None for a video of which not all decodes:
            as without memory, its file is asked for the frames that are wanted.
        keep_damaged: Whether frames that the decoder could not make right are read too; else their
            video is broken.
        motion: Of all videos, where the sampler follows it.
        flow: What is read of a video instead of its frames; None: its frames.
        without_flow: Paths of the videos that are known to have none, where flow is read.
    """

    manifest: Manifest
    short_side_px: int
    decoder: Decoder
    cache: tuple[Frames | None, ...] | None = None
    keep_damaged: bool = False
    motion: MotionCurves | None = None
    flow: Flow | None = None
    without_flow: frozenset[str] = frozenset()

    @property
    def trained_on(self) -> npt.NDArray[np.int64]:
        """Indices of the videos that a training takes: all but those known to have no flow."""
        records = self.manifest.records
        if not self.without_flow:
            return np.arange(len(records))
        return np.array([i for i, r in enumerate(records) if r.path not in self.without_flow])

    def curve(self, index: int) -> MotionCurve | None:
        """The motion of video `index`; None where the sampler does not follow it.

        Raises:
            DataError: The video does not decode.
        """
        return None if self.motion is None else self.motion.curve(index)

    def read(self, index: int, frame_indices: npt.NDArray[np.int64]) -> Frames:
        """Frames (len(frame_indices), H, W, C) of video `index`, resized, or stacks of its flow.

        Raises:
            DataError: The video does not decode, or has no flow.
        """
        if self.flow is None:
            return self._read(index, frame_indices)
        num_frames = self.manifest.records[index].num_frames
        positions = self.flow.positions(frame_indices, num_frames)  # (T, n)
        return stacked(self._read(index, positions.ravel()), self.flow.consecutive)

    def _read(self, index: int, frame_indices: npt.NDArray[np.int64]) -> Frames:
        if self.cache is None or (frames := self.cache[index]) is None:
            return self._decode(index, frame_indices)
        return frames[frame_indices]

    def _decode(self, index: int, frame_indices: npt.NDArray[np.int64] | None) -> Frames:
        path = self.manifest.records[index].path
        if self.flow is not None:
            file = self.manifest.root / flow_path(self.flow.method, path)
            return read_fields(file, frame_indices, short_side_px=self.short_side_px)
        return read_frames(
            self.manifest.root / path,
            frame_indices,
            decoder=self.decoder,
            short_side_px=self.short_side_px,
            from_start=path in self.manifest.from_start,
            keep_damaged=self.keep_damaged,
        )

    def decode_whole(self, index: int) -> Frames | None:
        """All frames of a video, or fields of its flow; None where one of them does not decode."""
        try:
            frames = self._decode(index, None)
        except DataError:
            return None
        wanted = self.manifest.records[index].num_frames - (self.flow is not None)
        return frames if len(frames) >= wanted else None


def cache_budget(processes: int) -> int:
    """Bytes that each of so many processes of this machine may hold of decoded videos."""
    available = available_memory()
    limits = [CACHE_LIMIT_BYTES, *([] if available is None else [int(available * CACHE_SHARE)])]
    return min(limits) // processes


def open_videos(
    root: Path,
    split: str,
    short_side_px: int,
    *,
    decoder: Decoder,
    budget_bytes: int,
    threads: int,
    flow: Flow | None = None,
    progress: Progress = SILENT,
) -> Videos:
    """A split of the data set at `root`, decoded into memory if it fits.

    Args:
        root: The data set's folder.
        split: `train`, `val` or `test`.
        short_side_px: Size to which frames are resized.
        decoder: Which library decodes.
        budget_bytes: What all decoded frames together may take.
        threads: Videos that are decoded at a time.
        flow: What is read of a video instead of its frames; None: its frames.
        progress: Told about decoding, and of videos without flow.

    Raises:
        DataError: The manifest is missing or wrong, or no video has flow.
    """
    manifest, lacking = read_manifest(root, split), frozenset[str]()
    if flow and (lacking := videos_without_flow(root, flow.method, split)):
        num_videos = len(manifest.records)
        progress.message(told_without_flow(root, flow.method, split, lacking, num_videos))
    videos = Videos(manifest, short_side_px, decoder, flow=flow, without_flow=lacking)
    records = videos.manifest.records
    channels = 3 if flow is None else 2
    if sum(_pixels(record, short_side_px) for record in records) * channels > budget_bytes:
        return videos
    cache: list[Frames | None] = []
    with (
        pool_of(threads) as pool,
        progress.bar(f"decoding {split}", len(records)) as bar,
    ):
        for frames in pool.map(videos.decode_whole, range(len(records))):
            cache.append(frames)
            bar.advance()
    return replace(videos, cache=tuple(cache))


def held_bytes(videos: Videos) -> int:
    """The memory that the decoded videos take."""
    return sum(frames.nbytes for frames in videos.cache or () if frames is not None)


def _pixels(record: VideoRecord, short_side_px: int) -> int:
    height, width = resized_size(record.height, record.width, short_side_px)
    return record.num_frames * height * width
