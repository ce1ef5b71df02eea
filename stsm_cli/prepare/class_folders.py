"""Videos in one folder a class, perhaps below `train` and `val`, perhaps a few folders down.

Folders that hold nothing but one folder are passed through: ROOT/UCF-101/CLASS is ROOT/CLASS.
Videos outside a class folder have no class and are unlisted.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile

from stsm_cli.data.manifest import SPLITS
from stsm_cli.prepare.matching import Entry, Inventory
from stsm_cli.prepare.tree import Tree
from stsm_cli.printable import counted

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "validation", "validate", "valid", "test", "testing")
"""Names of the parts; the first of each that has classes is the part."""
PART_NAMES = (*TRAIN_NAMES, *VAL_NAMES)


def from_class_folders(tree: Tree) -> Inventory:
    """The videos by their folders: classes, and the split where there is one."""
    base = _base(tree)
    folders = _by_folder(tree.videos, base)
    names = {_part(name): name for name in folders}
    there = [[names[name] for name in k if name in names] for k in (TRAIN_NAMES, VAL_NAMES)]
    has_split = names.keys() <= set(PART_NAMES) or all(there)
    entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    if not has_split:
        entries["train"] = _entries(tree, base)
        notes = [f"classes are the folders in {tree.root / base}", *_empty(tree, base)]
        return Inventory(entries, tuple(notes))
    found = {name: _entries(tree, f"{base}{name}/") for part in there for name in part}
    parts = [next((name for name in part if found[name]), None) for part in there]
    notes = [f"classes are the folders in {' and '.join(f'{name}/' for name in parts if name)}"]
    for split, name in zip(SPLITS, parts, strict=True):
        if name is not None:
            entries[split] = found[name]
            notes += _empty(tree, f"{base}{name}/")
    empty = (name for name in _empty_folders(tree, base) if _part(name) in PART_NAMES)
    notes += [f"{tree.root / base / name} holds no video" for name in empty]
    flat = [name for part in there for name in takewhile(lambda name: not found[name], part)]
    for name in flat:
        held = counted(len(folders[name]), "video")
        notes.append(f"warning: {name}/ holds {held} in no class folder: not used")
    spare = [name for name in there[1] if name not in (*parts, *flat)]
    notes += [f"{name}/ left out: {parts[1]}/ is the validation part" for name in spare]
    left_out = (path for name in spare for path in folders[name])
    return Inventory(entries, tuple(notes), left_out=frozenset(left_out))


def _base(tree: Tree) -> str:
    """The folder that holds the class folders or the splits; empty or with a slash at the end."""
    base = ""
    while True:
        folders = _by_folder(tree.videos, base)
        name = next(iter(folders), "")
        alone = len(folders) == 1 and len(folders[name]) == len(_below(tree.videos, base))
        deeper = f"{base}{name}/"
        if not alone or _part(name) in PART_NAMES:
            return base
        if any("/" not in path.removeprefix(deeper) for path in folders[name]):
            return base
        base = deeper


def _part(folder: str) -> str:
    """The name of a folder as that of a part: MMAction2 calls it `videos_train`."""
    return folder.lower().removeprefix("videos_")


def _below(paths: Iterable[str], folder: str) -> list[str]:
    return [path for path in paths if path.startswith(folder)]


def _by_folder(paths: Iterable[str], base: str) -> dict[str, list[str]]:
    """The paths below `base` by its folders; files directly in it belong to none."""
    folders: dict[str, list[str]] = defaultdict(list)
    for path in _below(paths, base):
        name, slash, _ = path.removeprefix(base).partition("/")
        if slash:
            folders[name].append(path)
    return folders


def _entries(tree: Tree, base: str) -> list[Entry]:
    entries = []
    for name, paths in _by_folder(tree.videos, base).items():
        # composed characters, whatever the disk prefers: a class has one name everywhere
        class_name, where = unicodedata.normalize("NFC", name), str(tree.root / base / name)
        entries += [Entry(where, path, class_name, path) for path in paths]
    return entries


def _empty(tree: Tree, base: str) -> list[str]:
    empty = _empty_folders(tree, base)
    return [f"{tree.root / base / name} holds no video: it is not a class" for name in empty]


def _empty_folders(tree: Tree, base: str) -> list[str]:
    """The folders right below `base` that hold no video, as far as could be looked."""
    full = _by_folder(tree.videos, base)
    names = [path.removeprefix(base) for path in _below(tree.folders, base)]
    closed = _by_folder([f"{path}/" for path in tree.faults], base)  # their contents are unknown
    return [name for name in names if "/" not in name and name not in full and name not in closed]
