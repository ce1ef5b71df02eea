"""A folder of your own videos.

    ROOT/CLASS/*.mp4              a split is to be drawn (`split.py`)
    ROOT/train/CLASS, val/CLASS   validation/, valid/ or test/ where there is no val/
    ROOT/train.csv, val.csv       or videos.csv (`folder_csv.py`)

UCF101 and HMDB51 are such folders, and their official splits are used where they lie beside the
videos (`official_splits.py`). The classes may lie deeper, as in ROOT/UCF-101/CLASS. Videos that are
byte for byte the same are found: where a split parts such copies, the test is known in training.
"""

from pathlib import Path

from stsm_cli.errors import DataError
from stsm_cli.prepare.class_folders import from_class_folders
from stsm_cli.prepare.copies import find_copies
from stsm_cli.prepare.folder_csv import from_csv, read_classes
from stsm_cli.prepare.listing import Draw, Listing
from stsm_cli.prepare.matching import Found, Inventory, assign, check_classes, sorted_classes
from stsm_cli.prepare.new_lists import check_place, videos_among_lists
from stsm_cli.prepare.official_splits import from_official_split
from stsm_cli.prepare.tree import VIDEO_SUFFIXES, scan
from stsm_cli.printable import counted
from stsm_cli.progress import SILENT, Progress

_LAYOUTS = (
    "accepted are CLASS/*.mp4, train/CLASS/*.mp4 with val/CLASS/*.mp4, and train.csv with val.csv "
    "or videos.csv, of columns path,label"
)


def list_folder(
    root: Path, *, val_share: float = 0.2, seed: int = 0, progress: Progress = SILENT
) -> Listing:
    """The videos below a folder, with their classes and their split, or how that is to be drawn.

    The labels are those of a `classes.txt` in the folder, else of the official list, else the ranks
    of the sorted class names.

    Args:
        root: The data root.
        val_share: Share of each class for validation where there is no split, between 0 and 1.
        seed: Of that split.
        progress: Says what is looked through.

    Raises:
        DataError: There is nothing of the kind, a list is wrong (file and line), a class is only
            there for validation, or `manifest/` is another's.
        ValueError: `val_share` is not between 0 and 1.
    """
    if not 0 < val_share < 1:
        raise ValueError(f"val_share must be between 0 and 1, got {val_share}")
    check_place(root)  # first: without that class, others may be too few
    tree = scan(root, progress, hint=_LAYOUTS)
    inventory = from_csv(tree) or from_official_split(tree) or from_class_folders(tree)
    named = set(filter(inventory.is_named, tree.files))
    if not named:
        tree.check_videos(f"videos are files ending in {', '.join(VIDEO_SUFFIXES)}")
    if not inventory.entries["train"]:
        loose = sum("/" not in path for path in tree.videos)
        told = f"; {counted(loose, 'video lies', 'videos lie')} in no folder of a class"
        told = told if loose and not any(inventory.entries.values()) else ""
        raise DataError(f"{root}: no training video found{told}", hint=_LAYOUTS)
    classes = _classes(root, inventory)
    found = Found(root, sorted(named.union(tree.videos)), inventory.key)
    assigned = assign(root, inventory.entries, classes, lambda entry: found.take(entry.key))
    return Listing(
        root,
        classes,
        assigned.splits,
        unlisted=tuple(sorted(found.unlisted(inventory.left_out))),
        listed_again=tuple(sorted(assigned.again)),
        spares=found.spares(),
        conflicts=assigned.conflicts,
        copies=find_copies(root, assigned.paths),
        faults=tree.faults,
        left_out=tree.count_others(named),
        notes=(*inventory.notes, *_lost(root)),
        draw=None if inventory.entries["val"] else Draw(val_share, seed),
    )


def _lost(root: Path) -> list[str]:
    """A warning of videos that lie where none is looked for; none where there are none."""
    lost = videos_among_lists(root)
    held = f"manifest/ holds {counted(len(lost), 'video')}"
    return [f"warning: {held}: not used, it is for the lists of stsm"] if lost else []


def _classes(root: Path, inventory: Inventory) -> tuple[str, ...]:
    found = sorted_classes(inventory.entries)
    classes = read_classes(root) or inventory.classes or found
    check_classes(inventory.entries["train"], classes, "the class list lacks")
    if len(found) == 1:
        raise DataError(f"{root}: at least two classes are needed, got {found[0]!r}", hint=_LAYOUTS)
    return classes
