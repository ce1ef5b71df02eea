"""One split of a data set, ready to be read: from memory where it fits, else from its files."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stsm_cli.data.decode import Decoder, read_frames
from stsm_cli.data.frames import Frames
from stsm_cli.data.manifest import Manifest, VideoRecord, read_manifest
from stsm_cli.errors import DataError
from stsm_cli.progress import SILENT, Progress

CACHE_LIMIT_BYTES = 2 * 2**30  # ours: train and val of the embedded set take 1 GB


@dataclass(frozen=True)
class Videos:
    """One split, ready to be read.

    Attributes:
        manifest: What the split holds.
        short_side_px: Size to which frames are resized.
        decoder: Which library decodes.
        cache: All videos, decoded and resized (a `DataError` in place of a broken one), or None.
        keep_damaged: Whether frames that the decoder could not make right are read too; else their
            video is broken.
    """

    manifest: Manifest
    short_side_px: int
    decoder: Decoder
    cache: tuple[Frames | DataError, ...] | None = None
    keep_damaged: bool = False

    def read(self, index: int, frame_indices: npt.NDArray[np.int64]) -> Frames:
        """Frames (len(frame_indices), H, W, 3) of video `index`, resized.

        Raises:
            DataError: The video does not decode.
        """
        if self.cache is None:
            return self._decode(index, frame_indices)
        frames = self.cache[index]
        if isinstance(frames, DataError):
            raise frames
        return frames[frame_indices]

    def _decode(self, index: int, frame_indices: npt.NDArray[np.int64] | None) -> Frames:
        path = self.manifest.records[index].path
        return read_frames(
            self.manifest.root / path,
            frame_indices,
            decoder=self.decoder,
            short_side_px=self.short_side_px,
            from_start=path in self.manifest.from_start,
            keep_damaged=self.keep_damaged,
        )

    def decode_whole(self, index: int) -> Frames | DataError:
        """All frames of a video, or the error that a broken one gives."""
        record = self.manifest.records[index]
        try:
            frames = self._decode(index, None)
        except DataError as error:
            return error
        if len(frames) < record.num_frames:
            return DataError(
                f"{self.manifest.root / record.path}: {len(frames)} frames decode, "
                f"the manifest says {record.num_frames}"
            )
        return frames


def open_videos(
    root: Path,
    split: str,
    short_side_px: int,
    *,
    decoder: Decoder,
    threads: int = 2,
    progress: Progress = SILENT,
) -> Videos:
    """A split of the data set at `root`, decoded into memory if it fits.

    Raises:
        DataError: The manifest is missing or wrong.
    """
    videos = Videos(read_manifest(root, split), short_side_px, decoder)
    records = videos.manifest.records
    sizes = accumulate(_decoded_bytes(record, short_side_px) for record in records)
    if any(size > CACHE_LIMIT_BYTES for size in sizes):
        return videos
    cache = []
    with (
        ThreadPoolExecutor(threads) as pool,
        progress.bar(f"decoding {split}", len(records)) as bar,
    ):
        for frames in pool.map(videos.decode_whole, range(len(records))):
            cache.append(frames)
            bar.advance()
    return replace(videos, cache=tuple(cache))


def _decoded_bytes(record: VideoRecord, short_side_px: int) -> float:
    scale = short_side_px / min(record.width, record.height)
    return record.num_frames * record.width * record.height * scale**2 * 3
