"""Probes of a generated set: what is told of its classes by numbers that are not worth a network.

A probe is a few numbers a video and a linear classifier on them (logistic regression), asked for
every pair of classes on its own, over all splits, each video by a classifier that did not see it.
50 % is chance. Probes that do not know the order of frames must stay there in pairs that are each
other's reversal; all but `one frame` and `frames without order` should in every pair, and
`probes_page.py` says where they do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stsm_cli.data.catalog import load_card
from stsm_cli.data.container import full_name
from stsm_cli.data.decode import read_frames
from stsm_cli.data.frames import Frames
from stsm_cli.data.manifest import VideoRecord, read_manifest
from stsm_cli.progress import SILENT, Progress

Numbers = npt.NDArray[np.float64]
Accuracies = dict[str, dict[str, dict[str, float]]]
"""Accuracy in percent by probe, factor, and pair (`first/second`)."""

SMALL = (
    "file size",
    "frame count",
    "mean colour",
    "moments",
    "change of moments",
    "change of spread",
    "change of colour",
    "ten numbers",
)
"""Probes on at most ten numbers."""
FOLDS = 5
GRID = 8  # rows and columns of a frame as `one frame` sees it
PACKETS = 16  # quantiles of the packets' sizes


def packet_sizes(path: Path) -> Numbers:
    """Bytes of each packet of the video, in their order."""
    import av

    with av.open(full_name(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    return np.array(sizes, float)


def moments(frame: Frames) -> Numbers:
    """Mean brightness of a frame (H, W, 3), its centre along x and y, and its spread around it."""
    brightness = frame.astype(float).mean(2) + 1e-6  # a black frame has its centre in the middle
    weights = brightness / brightness.sum()
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    centre_x, centre_y = (weights * x).sum(), (weights * y).sum()
    spread = (weights * ((x - centre_x) ** 2 + (y - centre_y) ** 2)).sum()
    return np.array([brightness.mean(), centre_x, centre_y, np.sqrt(spread)])


def _grid(frame: Frames) -> Numbers:
    """Mean brightness in the fields of a grid over a frame (H, W, 3)."""
    rows = np.array_split(frame.mean(2), GRID)
    return np.array([part.mean() for row in rows for part in np.array_split(row, GRID, 1)])


def numbers_of(frames: Frames, packets: Numbers, num_bytes: int) -> dict[str, Numbers]:
    """The numbers of every probe.

    Args:
        frames: (T, H, W, 3) of the whole video, or spread over it from the first to the last.
        packets: Sizes of all packets.
        num_bytes: Size of the file.
    """
    of_frames = np.array([moments(frame) for frame in frames])
    colours = frames.mean((1, 2))
    grids = np.array([_grid(frame) for frame in frames])
    moved, recoloured = of_frames[-1] - of_frames[0], colours[-1] - colours[0]
    return {
        "file size": np.array([float(num_bytes)]),
        "frame count": np.array([float(len(packets))]),
        "mean colour": colours.mean(0),
        "moments": of_frames.mean(0),
        "change of moments": moved,
        "change of spread": moved[-1:],  # alone it leans more than in company: `disc_leads`
        "change of colour": recoloured,
        "ten numbers": np.concatenate([moved, recoloured, of_frames.mean(0)[1:]]),
        "sorted packets": np.quantile(packets, np.linspace(0, 1, PACKETS)),
        "one frame": grids[len(grids) // 2],
        "frames without order": np.concatenate([grids.mean(0), grids.std(0)]),
    }


@dataclass(frozen=True)
class Probed:
    """The numbers of a set's videos, by probe (N, F), and their labels (N,)."""

    numbers: Mapping[str, Numbers]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


def probe_videos(
    root: Path, splits: tuple[str, ...], *, num_frames: int = 9, progress: Progress = SILENT
) -> Probed:
    """The numbers of all videos of a prepared set.

    Args:
        root: The set's folder.
        splits: Those of the set.
        num_frames: Frames that are read of each video, from the first to the last.
        progress: Told about every video.

    Raises:
        DataError: A manifest or a video cannot be read.
    """
    manifests = [read_manifest(root, split) for split in splits]
    records = [record for manifest in manifests for record in manifest.records]
    with progress.bar("probing videos", len(records)) as bar:
        rows = []
        for row in _rows(root, records, num_frames):
            rows.append(row)
            bar.advance()
    numbers = {probe: np.array([row[probe] for row in rows]) for probe in rows[0]}
    labels = np.array([record.label for record in records])
    return Probed(numbers, labels, manifests[0].classes)


def _rows(root: Path, records: list[VideoRecord], num_frames: int) -> Iterator[dict[str, Numbers]]:
    for record in records:
        path = root / record.path
        at = np.linspace(0, record.num_frames - 1, num_frames).round().astype(int)
        yield numbers_of(read_frames(path, at), packet_sizes(path), path.stat().st_size)


def probe(probed: Probed, dataset: str) -> Accuracies:
    """Accuracy of every probe in every pair of classes of the data set's card."""
    label = {name: index for index, name in enumerate(probed.classes)}
    return {
        name: {
            factor: {
                f"{first}/{second}": _accuracy(numbers, probed.labels, label[first], label[second])
                for first, second in pairs
            }
            for factor, pairs in load_card(dataset).factors.items()
        }
        for name, numbers in probed.numbers.items()
    }


def _accuracy(numbers: Numbers, labels: npt.NDArray[np.int64], first: int, second: int) -> float:
    """In percent, of a linear classifier of two classes on videos that it was not fitted to.

    To two decimals, as it is kept: a page from what was kept is the page from what was found.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chosen = (labels == first) | (labels == second)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scores = cross_val_score(classifier, numbers[chosen], labels[chosen] == second, cv=folds)
    return round(100 * float(scores.mean()), 2)
