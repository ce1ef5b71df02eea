"""Something-Something V2: three JSON files, and the videos or their archive.

    ROOT/.../labels.json, train.json, validation.json    also as something-something-v2-labels.json
    ROOT/.../ID.webm                                     or .mp4 of the same name
    ROOT/.../20bn-something-something-v2-NN              parts of one archive of such files

all of them anywhere below ROOT. The parts are read one after the other, never joined on disk, and
unpacked into ROOT/videos.
"""

from pathlib import Path
from typing import Any

from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.archives import Archive, unpack
from stsm_cli.prepare.listing import Listing
from stsm_cli.prepare.lists import read_json
from stsm_cli.prepare.matching import Entry, Found, assign, check_classes
from stsm_cli.prepare.tree import Tree, scan, stem
from stsm_cli.progress import SILENT, Progress

_NUM_CLASSES = 174
_JSON = r"(?:something-something-v2-)?{}\.json"
_PART = r"20bn-something-something-v2-(\d\d)"
_FILES = {"train": "train", "val": "validation"}
_BRACKETS = str.maketrans("", "", "[]")


def list_sthv2(root: Path, *, progress: Progress = SILENT) -> Listing:
    """The videos of Something-Something V2 below a folder.

    A label is the index that labels.json gives to the template without its brackets. The videos of
    the test split, which have no labels, are left out.

    Args:
        root: The data root.
        progress: Shows the archive being unpacked.

    Raises:
        DataError: There is nothing of the kind, a part or a JSON file is wrong, or a video's
            template is not among the labels; names file and video.
    """
    tree = scan(root, progress)
    notes = []
    if _unpack(tree, progress):
        notes.append("archive unpacked into videos/")
        tree = scan(root, progress)
    labels, *lists = (_json(tree, name) for name in ("labels", *_FILES.values()))
    if labels is None or lists == [None, None]:
        raise _no_lists(tree)
    tree.check_videos(_how_to_get_videos(tree))
    classes = _classes(labels)
    entries = {s: _entries(path) if path else [] for s, path in zip(_FILES, lists, strict=True)}
    if not any(entries.values()):
        raise DataError(f"{' and '.join(str(path) for path in lists if path)}: no video listed")
    for listed in entries.values():
        check_classes(listed, classes, f"{labels.name} lacks")
    found = Found(root, tree.videos, key=stem)
    assigned = assign(root, entries, classes, lambda entry: found.take(entry.key))
    unlisted = set(found.unlisted())
    test_ids = _test_ids(tree)
    test = {path for path in unlisted if stem(path) in test_ids}
    notes.append(f"videos listed by {', '.join(path.name for path in (labels, *lists) if path)}")
    notes += [f"videos of the test split, left out: {len(test)}"] if test else []
    if len(classes) != _NUM_CLASSES:
        notes.append(f"{len(classes)} classes, the full set has {_NUM_CLASSES}")
    return Listing(
        root,
        classes,
        assigned.splits,
        unlisted=tuple(sorted(unlisted - test)),
        duplicates=tuple(sorted({*assigned.again, *found.duplicates()})),
        conflicts=assigned.conflicts,
        faults=tree.faults,
        left_out=tree.count_others(),
        notes=tuple(notes),
    )


def _unpack(tree: Tree, progress: Progress) -> int:
    files = tree.named(_PART)
    if not files:
        return 0
    folder = (tree.root / files[0]).parent
    names = [path.rpartition("/")[2] for path in files if (tree.root / path).parent == folder]
    missing = {f"{number:02}" for number in range(int(names[-1][-2:]))} - {n[-2:] for n in names}
    raise_problems(
        [f"{folder / names[0][:-2]}{number}: this part is missing" for number in sorted(missing)]
    )
    archive = Archive(tuple(folder / name for name in names), tree.root / "videos")
    there = {path.rpartition("/")[2] for path in tree.videos}
    return unpack([archive], keep=there, progress=progress)


def _json(tree: Tree, name: str) -> Path | None:
    files = tree.named(_JSON.format(name))
    return tree.root / files[0] if files else None


def _classes(path: Path) -> tuple[str, ...]:
    """The templates of labels.json by their index."""
    labels = read_json(path)
    if not isinstance(labels, dict) or not labels:
        raise DataError(f"{path}: must hold an object of templates and their indices")
    indices = {str(index): template for template, index in labels.items()}
    classes = [indices.get(str(label)) for label in range(len(labels))]
    if None in classes:
        label = classes.index(None)
        raise DataError(
            f"{path}: indices must be 0 to {len(labels) - 1}, each once, but none is {label}"
        )
    return tuple(str(template).translate(_BRACKETS) for template in classes)


def _entries(path: Path) -> list[Entry]:
    entries = []
    problems = []
    for number, (video_id, item) in enumerate(_items(path), 1):
        template = item.get("template")
        if not isinstance(template, str):
            problems.append(f"{path}: entry {number} (id {video_id}) has no template")
            continue
        where = f"{path}: entry {number} (id {video_id})"
        entries.append(Entry(where, video_id, template.translate(_BRACKETS), video_id))
    raise_problems(problems)
    return entries


def _test_ids(tree: Tree) -> set[str]:
    path = _json(tree, "test")
    return {video_id for video_id, _ in _items(path)} if path else set()


def _items(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The entries of a list of videos, each behind its id."""
    items = read_json(path)
    if not isinstance(items, list) or not all(isinstance(i, dict) and i.get("id") for i in items):
        raise DataError(f"{path}: must hold a list of objects with an id")
    return [(str(item["id"]), item) for item in items]


def _no_lists(tree: Tree) -> DataError:
    return DataError(
        f"{tree.root}: no lists of Something-Something V2 found, looked for labels.json and for "
        "train.json or validation.json, also as something-something-v2-labels.json and so on",
        hint=f"put the three files anywhere below {tree.root}",
    )


def _how_to_get_videos(tree: Tree) -> str:
    zipped = tree.named(r"20bn-something-something-v2.*\.zip")
    if zipped:
        return f"unzip {' and '.join(zipped)} there"
    return "put there ID.webm, or the parts 20bn-something-something-v2-NN of their archive"
