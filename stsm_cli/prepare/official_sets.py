"""UCF101 and HMDB51: their unpacked archives, by one of three official splits.

    ROOT/.../CLASS/v_CLASS_gNN_cMM.avi                out of UCF101.rar
    ROOT/.../{classInd,trainlist0N,testlist0N}.txt    its lists (ucfTrainTestlist/)
    ROOT/.../CLASS/*.avi                              out of hmdb51_org.rar
    ROOT/.../CLASS_test_splitN.txt                    its lists (testTrainMulti_7030_splits/)

anywhere below ROOT (`official_splits.py`). Neither has a validation part: as in what is published,
accuracies are those of the test part, which is `val` here. RAR archives are not unpacked: what to
type is said.

Sources: https://www.crcv.ucf.edu/research/data-sets/ucf101/ (13,320 videos; each split has all);
https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/ (6,766 files, of 6,849
that its paper counts; a split takes 70 and 30 of each class and leaves the others out);
open-mmlab/mmaction2@4d6c934, tools/data/{ucf101,hmdb51} (archives within the archive, folders).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError
from stsm_cli.prepare.copies import find_copies
from stsm_cli.prepare.listing import Listing
from stsm_cli.prepare.matching import Found, Inventory, assign, check_classes, sorted_classes
from stsm_cli.prepare.official_splits import from_hmdb51, from_ucf101
from stsm_cli.prepare.tree import Tree, folder_of, scan, stem
from stsm_cli.progress import SILENT, Progress

NUM_SPLITS = 3


@dataclass(frozen=True)
class OfficialSet:
    """A data set that comes as RAR archives with three splits.

    Attributes:
        name: As its authors write it.
        num_classes: Of the whole set.
        counts: By split, the videos of its training and its test part.
        archive: The file that the videos come in.
        is_nested: Whether that holds one archive a class.
        lists: The names of a split's lists.
        list_archive: The file that they come in.
        read: The videos of a tree by the lists of a split; None: these are not there.
    """

    name: str
    num_classes: int
    counts: Mapping[int, tuple[int, int]]
    archive: str
    is_nested: bool
    lists: str
    list_archive: str
    read: Callable[[Tree, int], Inventory | None]


UCF101 = OfficialSet(
    name="UCF101",
    num_classes=101,
    counts={1: (9_537, 3_783), 2: (9_586, 3_734), 3: (9_624, 3_696)},
    archive="UCF101.rar",
    is_nested=False,
    lists="classInd.txt, trainlist0{split}.txt and testlist0{split}.txt",
    list_archive="UCF101TrainTestSplits-RecognitionTask.zip",
    read=lambda tree, split: from_ucf101(tree, split) if tree.named("(?i:classInd.txt)") else None,
)
HMDB51 = OfficialSet(
    name="HMDB51",
    num_classes=51,
    counts=dict.fromkeys((1, 2, 3), (3_570, 1_530)),
    archive="hmdb51_org.rar",
    is_nested=True,
    lists="CLASS_test_split{split}.txt of each class",
    list_archive="test_train_splits.rar",
    read=from_hmdb51,
)


def list_official(
    root: Path, official: OfficialSet, *, split: int = 1, progress: Progress = SILENT
) -> Listing:
    """The videos of UCF101 or HMDB51 below a folder, by one of the official splits.

    The labels are those of UCF101's classInd.txt, and the ranks of HMDB51's sorted class names.

    Args:
        root: The data root.
        official: Which of the two.
        split: From 1 to 3.
        progress: Is told what is looked through.

    Raises:
        DataError: Videos or lists are not there (says what to unpack), or a line is wrong.
        ValueError: There is no such split.
    """
    if split not in official.counts:
        raise ValueError(f"split must be from 1 to {NUM_SPLITS}, got {split}")
    tree = scan(root, progress, hint=f"put {official.archive} and {official.list_archive} there")
    tree.check_videos(_how_to_unpack(tree, official))
    inventory = official.read(tree, split)
    if inventory is None:
        raise _no_lists(tree, official, split)
    entries = inventory.entries
    if not entries["train"]:
        raise DataError(f"{root}: the lists of split {split} of {official.name} name no video")
    classes = inventory.classes or sorted_classes(entries)
    for part in SPLITS:
        check_classes(entries[part], classes, f"{official.name}'s class list lacks")
    found = Found(root, tree.videos, inventory.key)
    assigned = assign(root, entries, classes, lambda entry: found.take(entry.key))
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
        left_out=tree.count_others(),
        notes=(*inventory.notes, *_notes(tree, official, split, inventory, len(classes))),
    )


def _notes(
    tree: Tree, official: OfficialSet, split: int, inventory: Inventory, num_classes: int
) -> list[str]:
    """What a reader of the report should know of the split, and what differs from the whole set."""
    notes = ["the test part is val: the set has no validation part"]
    listed = tuple(len(inventory.entries[part]) for part in SPLITS)
    if listed != official.counts[split]:
        (train, test), (whole, rest) = listed, official.counts[split]
        notes.append(
            f"warning: {train:,} training and {test:,} test videos are listed, split {split} of "
            f"{official.name} has {whole:,} and {rest:,}"
        )
    if num_classes != official.num_classes:
        notes.append(f"{num_classes} classes, {official.name} has {official.num_classes}")
    if packed := _packed_classes(tree, official):
        notes.append(
            f"warning: archives of classes that are not unpacked: {len(packed)}, such as "
            f"{packed[0]}; {_unpack_classes(tree, packed[0])}"
        )
    return notes


def _no_lists(tree: Tree, official: OfficialSet, split: int) -> DataError:
    files = tree.named(official.list_archive.replace(".", r"\."))
    name = files[0] if files else official.list_archive
    folder = quote(str((tree.root / name).parent))
    tool = "unzip" if name.endswith(".zip") else "unrar x"
    return DataError(
        f"{tree.root}: no lists of split {split} of {official.name} found, looked for "
        f"{official.lists.format(split=split)}",
        hint=f"they are in {official.list_archive}: "
        f"`cd {folder} && {tool} {quote(official.list_archive)}` unpacks it",
    )


def _how_to_unpack(tree: Tree, official: OfficialSet) -> str:
    """The command that unpacks the videos, as far as they are there."""
    if packed := _packed_classes(tree, official):
        return _unpack_classes(tree, packed[0])
    files = tree.named(official.archive.replace(".", r"\."))
    archive = tree.root / (files[0] if files else official.archive)
    commands = [f"cd {quote(str(archive.parent))}", f"unrar x {archive.name}"]
    if official.is_nested:
        commands[1:] = ["mkdir videos", "cd videos", f"unrar x ../{archive.name}", _EACH]
    told = f"`{' && '.join(commands)}` unpacks it"
    return told + _OR_BSDTAR if files else f"put {official.archive} there; {told}{_OR_BSDTAR}"


_EACH = 'for file in *.rar; do unrar x "$file"; done'
_OR_BSDTAR = ", so does `bsdtar -xf` in place of `unrar x`"


def _unpack_classes(tree: Tree, archive: str) -> str:
    folder = quote(str((tree.root / archive).parent))
    return f"`cd {folder} && {_EACH}` unpacks them{_OR_BSDTAR}"


def _packed_classes(tree: Tree, official: OfficialSet) -> list[str]:
    """Archives of one class each, whose videos are not there."""
    if not official.is_nested:
        return []
    unpacked = {folder_of(path).rpartition("/")[2] for path in tree.videos}
    whole = {stem(official.archive), stem(official.list_archive)}
    return [path for path in tree.named(r".+\.rar") if stem(path) not in unpacked | whole]
