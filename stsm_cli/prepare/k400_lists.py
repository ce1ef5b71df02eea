"""The clips of Kinetics-400: from annotations, from the peers' lists, or from class folders.

Source: MMAction2 1.2, tools/data/parse_file_list.py (class names, names of clips, lists); MIT's
TSM, tools/gen_label_kinetics.py (its lists).
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.k400_archives import K400_URL, is_replacement
from stsm_cli.prepare.lists import ListLine, check_file, read_csv, read_list
from stsm_cli.prepare.matching import Entries, Entry
from stsm_cli.prepare.tree import Tree, folder_of, split_of, stem

# a YouTube id, and from when to when; in MIT's lists from when
_CLIP = re.compile(r"(.{11})(?:_(\d+)(?:_(\d+))?)?")
_MARKS = str.maketrans("", "", "()'")
_PART = re.compile(r"part \d+")  # CVDF's archives
NUM_CLASSES = 400
# trap: MIT leaves these marks out; so sorted, two of the classes would change places
_BY_MIT_NAME = {
    name.translate(_MARKS): name
    for name in (
        "hurling (sport)",
        "massaging person's head",
        "passing American football (in game)",
        "passing American football (not in game)",
        "petting animal (not cat)",
        "punching person (boxing)",
        "shooting goal (soccer)",
        "skiing (not slalom or crosscountry)",
        "tying knot (not on a tie)",
        "using remote controller (not gaming)",
    )
}
"""The dataset's names of classes that hold a mark, by MIT's."""
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_CSV = r"(?:k|kinetics)?[-_]?(?:400)?[-_]?{split}\.csv"
_CSV_SPLITS = {"train": "train", "val": "val(?:idate)?"}  # CVDF's and DeepMind's words
_LISTS = (
    r"kinetics400_{split}_list_videos\.txt",
    r"kinetics400_{split}_list_rawframes\.txt",
    r"{split}_videofolder\.txt",
)
_LAYOUTS = (
    "put there annotations/{train,val}.csv and the videos or their archives part_N.tar.gz,\n"
    "or kinetics400_{train,val}_list_videos.txt and the videos,\n"
    "or folders {train,val}/CLASS; or fetch all with `--download`"
)


def read_clips(tree: Tree) -> tuple[dict[str, list[Entry]], str]:
    """The clips of both splits, one of which may be empty, and where they were read.

    Raises:
        DataError: There is no list of any kind, or a list is wrong; names file and line.
    """
    for read in (_from_annotations, _from_lists, _from_folders):
        entries, source = read(tree)
        if any(entries.values()):
            return entries, source
    raise DataError(
        f"{tree.root}: no list of Kinetics-400 found, looked for {{train,val}}.csv with a column "
        "youtube_id, kinetics400_{train,val}_list_videos.txt, {train,val}_videofolder.txt and "
        "folders {train,val}/CLASS with videos",
        hint=_LAYOUTS,
    )


def youtube_id(name: str) -> str:
    """The first 11 characters of a clip's name; of a name that is none, all of it."""
    match = _CLIP.fullmatch(name)
    return match[1] if match else name


def clip_name(name: str) -> str:
    """A clip's name with its seconds in six digits each; of a name that is none, the name.

    Some tools that download clips write `ID_10_20`.
    """
    match = _CLIP.fullmatch(name)
    if match is None:
        return name
    return "_".join([match[1], *(f"{int(second):06d}" for second in match.groups()[1:] if second)])


def beginning(name: str) -> tuple[str, int] | None:
    """A clip's YouTube id and its first second; None where the name does not say both."""
    match = _CLIP.fullmatch(name)
    return (match[1], int(match[2])) if match and match[2] else None


def has_end(name: str) -> bool:
    """True if a clip's name says its last second, too."""
    match = _CLIP.fullmatch(name)
    return match is not None and match[3] is not None


def with_marks(entries: Entries) -> Entries:
    """The clips of the full set under the dataset's own names of classes.

    Of another number of classes the names stay: nobody says that they are MIT's.
    """
    if len({entry.class_name for split in SPLITS for entry in entries[split]}) != NUM_CLASSES:
        return entries
    return {
        split: [
            replace(entry, class_name=_BY_MIT_NAME.get(entry.class_name, entry.class_name))
            for entry in entries[split]
        ]
        for split in SPLITS
    }


def _from_annotations(tree: Tree) -> tuple[dict[str, list[Entry]], str]:
    files = {split: _annotations(tree, split) for split in SPLITS}
    entries = {split: _annotated(path) if path else [] for split, path in files.items()}
    return entries, f"clips listed by {_names(tree, files.values())}"


def _annotations(tree: Tree, split: str) -> Path | None:
    for path in tree.named(_CSV.format(split=_CSV_SPLITS[split])):
        check_file(tree.root / path)
        try:
            with (tree.root / path).open(encoding="utf-8", errors="replace") as file:
                if "youtube_id" in file.readline():
                    return tree.root / path
        except OSError as error:
            raise DataError(f"{tree.root / path}: cannot be read ({error.strerror})") from error
    return None


def _annotated(path: Path) -> list[Entry]:
    entries = []
    problems = []
    for where, row in read_csv(path, _COLUMNS):
        class_name = row["label"].replace('"', "").strip()
        try:
            start, end = int(row["time_start"]), int(row["time_end"])
        except ValueError:
            problems.append(f"{where}: times must be whole seconds, got {_times(row)!r}")
            continue
        if not class_name or len(row["youtube_id"]) != 11:
            got = f"{row['label']!r}, {row['youtube_id']!r}"
            problems.append(f"{where}: needs a label and an id of 11 characters, got {got}")
            continue
        name = f"{row['youtube_id']}_{start:06d}_{end:06d}"
        entries.append(Entry(where, name, class_name, name))
    raise_problems(problems)
    return entries


def _times(row: dict[str, str]) -> str:
    return f"{row['time_start']}, {row['time_end']}"


def _from_lists(tree: Tree) -> tuple[dict[str, list[Entry]], str]:
    for pattern in _LISTS:
        found = {split: tree.named(pattern.format(split=split)) for split in SPLITS}
        files = {split: tree.root / paths[0] if paths else None for split, paths in found.items()}
        lines = {split: read_list(path) if path else [] for split, path in files.items()}
        if any(lines.values()):
            _check_videos(tree, [line for split in SPLITS for line in lines[split]])
            entries = {split: _listed(lines[split]) for split in SPLITS}
            return entries, f"clips listed by {_names(tree, files.values())}"
    return {split: [] for split in SPLITS}, ""


def _check_videos(tree: Tree, lines: list[ListLine]) -> None:
    """A list of extracted frames serves where the videos are there too."""
    there = {youtube_id(stem(path)) for path in tree.videos}
    listed = (youtube_id(stem(line.path)) for line in lines)
    if lines[0].num_frames is not None and there.isdisjoint(listed):
        raise DataError(
            f"{lines[0].where}: lists extracted frames ({lines[0].path!r}), "
            f"and no video of such a name is below {tree.root}",
            hint="videos are read, not pictures: put the videos there that the frames came from",
        )


def _listed(lines: list[ListLine]) -> list[Entry]:
    raise_problems(
        [
            f"{line.where}: expected `class/clip`, got {line.path!r}"
            for line in lines
            if "/" not in line.path
        ]
    )
    return [
        Entry(line.where, name, _class_name(line.path), clip_name(name), line.label)
        for line in lines
        for name in [stem(line.path)]
    ]


def _class_name(path: str) -> str:
    return path.split("/")[-2].replace("_", " ").replace('"', "").strip()


def _from_folders(tree: Tree) -> tuple[dict[str, list[Entry]], str]:
    entries: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    for path in tree.videos:
        split = split_of(folder_of(folder_of(path)))
        if split not in entries or is_replacement(path):
            continue
        where, name, class_name = str(tree.root / path), stem(path), _class_name(path)
        if _PART.fullmatch(class_name):
            raise DataError(
                f"{(tree.root / path).parent}: is an archive's folder, not a class",
                hint="the classes are in annotations/{train,val}.csv, to be had "
                f"at {K400_URL}/annotations",
            )
        entries[split].append(Entry(where, name, class_name, clip_name(name)))
    return entries, "no lists found: a clip's class and split are those of its folders"


def _names(tree: Tree, files: Iterable[Path | None]) -> str:
    return " and ".join(path.relative_to(tree.root).as_posix() for path in files if path)
