"""Something-Something V2: three JSON files, and the videos or their archive.

    ROOT/.../labels.json, train.json, validation.json    also as something-something-v2-labels.json
    ROOT/.../ID.webm                                     or .mp4 of the same name
    ROOT/.../20bn-something-something-v2-NN              parts of one archive of such files

all of them anywhere below ROOT, the parts in one folder or in several. The parts are read one after
the other, never joined on disk, and unpacked into ROOT/videos.
"""

import re
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.archives import Archive, unpack, was_unpacked
from stsm_cli.prepare.listing import Listing
from stsm_cli.prepare.lists import read_json
from stsm_cli.prepare.matching import Entry, Found, assign, check_classes
from stsm_cli.prepare.tree import Tree, scan, stem
from stsm_cli.progress import SILENT, Progress

_NUM_CLASSES = 174
_JSON = r"(?:something-something-v2-)?{}\.json"
_PART = r"20bn-something-something-v2-(\d\d)"
_ZIP = r"20bn-something-something-v2(?!.*labels).*\.zip"
_ZIP_OF_LISTS = r"20bn-something-something-.*labels.*\.zip"
_OF_ZIP = b"PK"
_FILES = {"train": "train", "val": "validation"}
_BRACKETS = str.maketrans("", "", "[]")


def list_sthv2(root: Path, *, progress: Progress = SILENT) -> Listing:
    """The videos of Something-Something V2 below a folder.

    A label is the index that labels.json gives to the template without its brackets. The videos of
    the test split, on which the paper has no result, are left out.

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
        before, tree = len(tree.videos), scan(root, progress)
        is_new = len(tree.videos) > before
        notes.append(f"archive {'unpacked into videos/' if is_new else 'holds no other videos'}")
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
        listed_again=tuple(sorted(assigned.again)),
        spares=found.spares(),
        conflicts=assigned.conflicts,
        faults=tree.faults,
        left_out=tree.count_others(),
        notes=tuple(notes),
    )


def _unpack(tree: Tree, progress: Progress) -> int:
    parts = {path[-2:]: tree.root / path for path in reversed(tree.named(_PART))}
    if not parts:
        return 0
    archive = Archive(tuple(parts[number] for number in sorted(parts)), tree.root / "videos")
    if not was_unpacked(archive):
        _check_unzipped(tree, parts)
    first = str(archive.parts[0])[:-2]
    missing = {f"{number:02}" for number in range(int(max(parts)))} - parts.keys()
    raise_problems([f"{first}{number}: this part is missing" for number in sorted(missing)])
    there = {path.rpartition("/")[2] for path in tree.videos}
    return unpack([archive], keep=there, progress=progress)


def _check_unzipped(tree: Tree, parts: Mapping[str, Path]) -> None:
    """Refuse parts, by their number, of which some are still to be unzipped."""
    zipped = [path for path in tree.named(_ZIP) if _numbers_in(tree.root / path) - parts.keys()]
    if zipped:
        more = f" and {len(zipped) - 1} more" if len(zipped) > 1 else ""
        raise DataError(
            f"{tree.root}: parts of the archive are still in {zipped[0]}{more}",
            hint=_unzip(tree, zipped),
        )
    if packed := [path for path in parts.values() if _begins(path) == _OF_ZIP]:
        raise DataError(
            f"{packed[0]}: is a zip, and should be a part of the archive",
            hint=f"call it {packed[0].name}.zip, and unzip it",
        )


def _numbers_in(path: Path) -> set[str]:
    """The numbers of the parts that a zip holds; of a part that only is called so its own."""
    if _begins(path) != _OF_ZIP:
        return {match[1]} if (match := re.fullmatch(_PART, path.stem)) else set()
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.rpartition("/")[2] for name in file.namelist()]
    except Exception:  # of a damaged one zipfile raises almost anything
        return set()
    return {match[1] for name in names if (match := re.fullmatch(_PART, name))}


def _begins(path: Path) -> bytes:
    """The first two bytes of a file; none where it is no file, or cannot be read."""
    if not path.is_file():  # a pipe would be waited for
        return b""
    try:
        with path.open("rb") as file:
            return file.read(2)
    except OSError:
        return b""


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
    unzip = _unzip(tree, tree.named(_ZIP_OF_LISTS))
    return DataError(
        f"{tree.root}: no lists of Something-Something V2 found, looked for labels.json and for "
        "train.json or validation.json, also as something-something-v2-labels.json and so on",
        hint=unzip or f"put the three files anywhere below {tree.root}",
    )


def _how_to_get_videos(tree: Tree) -> str:
    return _unzip(tree, tree.named(_ZIP)) or (
        "put there ID.webm (videos are read, not pictures), "
        "or the parts 20bn-something-something-v2-NN of their archive"
    )


def _unzip(tree: Tree, zipped: Sequence[str]) -> str:
    """What to do about zips, if there are any; some scripts only call the parts so."""
    if not zipped:
        return ""
    parts = [path for path in zipped if _begins(tree.root / path) != _OF_ZIP]
    if parts:
        more = " and others" if len(parts) > 1 else ""
        return f"{parts[0]}{more} is a part itself, and no zip: take `.zip` off its name"
    folder, name = (tree.root / zipped[0]).parent, Path(zipped[0]).name
    command = f"cd {shlex.quote(str(folder))} && unzip"
    if len(zipped) == 1:
        return f"`{command} {shlex.quote(name)}`"
    return f"`{command} '20bn-*.zip'` unzips all that lie there"
