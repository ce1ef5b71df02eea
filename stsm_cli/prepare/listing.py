"""Contents of a data set's own lists, with the files of the listed videos: what is verified.

`k400`, `sthv2`, `official_sets` and `folder` each read what lies on disk into a `Listing`; all that
comes after it (decoding, re-encoding, report, manifest) is the same for all data sets.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path


@dataclass(frozen=True)
class ListedVideo:
    """A video that a list names.

    Attributes:
        name: As the list names it; unique within the data set.
        label: Index into the class list.
        path: Relative to the data root, with forward slashes; None where no file was found.
    """

    name: str
    label: int
    path: str | None


@dataclass(frozen=True)
class Draw:
    """A validation part that is still to be drawn by chance (`split.py`).

    Attributes:
        val_share: Share of each class for validation, between 0 and 1.
        seed: Another seed, another split.
    """

    val_share: float
    seed: int


@dataclass(frozen=True)
class Listing:
    """A data set as listed and as found.

    Attributes:
        root: The data root.
        classes: Names of the classes in label order.
        splits: The listed videos of `train` and `val`, in the lists' order.
        unlisted: Video files below the root that no list names, relative paths, sorted.
        listed_again: Names listed more than once, sorted; the first line counts.
        spares: Further files of listed videos, by the path of the one that counts.
        conflicts: Names listed again under another label or in the other split, each with what the
            lists say; the first line counts.
        copies: Paths of listed videos that are byte for byte an earlier one, each with that one's.
        faults: Paths that could not be looked at, each with why.
        left_out: Suffixes of files that are no videos, each with how many there are.
        notes: What the reader decided, a sentence each (which layout, which list, which rule).
        draw: How `val`, which is empty until then, is to be drawn from `train`; None: it is not.
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[ListedVideo, ...]]
    unlisted: tuple[str, ...] = ()
    listed_again: tuple[str, ...] = ()
    spares: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    draw: Draw | None = None

    @property
    def duplicates(self) -> tuple[str, ...]:
        """Names listed more than once, and further files of a video, sorted."""
        return tuple(sorted({*self.listed_again, *chain(*self.spares.values())}))

    def with_spares(self, broken: Container[str], usable: Container[str]) -> "Listing":
        """The same, but of videos whose file is `broken` the first further one that is `usable`."""
        instead = {
            first: path
            for first, paths in self.spares.items()
            if first in broken and (path := next((p for p in paths if p in usable), None))
        }
        if not instead:
            return self
        splits = {
            split: tuple(
                replace(video, path=instead.get(video.path or "", video.path)) for video in videos
            )
            for split, videos in self.splits.items()
        }
        spares = {
            counts: tuple(path for path in (first, *paths) if path != counts)
            for first, paths in self.spares.items()
            for counts in [instead.get(first, first)]
        }
        copies = {
            path: first for path, first in self.copies.items() if not {path, first} & instead.keys()
        }
        told = f"videos of which the first file is broken, so that another counts: {len(instead)}"
        notes = (*self.notes, told)
        return replace(self, splits=splits, spares=spares, copies=copies, notes=notes)
