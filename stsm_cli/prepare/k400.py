"""Kinetics-400 in the layouts that are in use.

The clips are those of the first of these lists that is found below ROOT (`k400_lists.py`):

    {train,val}.csv (DeepMind: validate.csv)    annotations/ is their usual folder
    kinetics400_{train,val}_list_videos.txt     MMAction2: `class_/clip.mp4 label`
    {train,val}_videofolder.txt                 TSM: `class_/id_start frames label`
    {train,val}/CLASS/CLIP.mp4                  also videos_{train,val}/ and videos/{train,val}/

Where they lie does not matter: a clip is found by its name anywhere below ROOT, after the archives
there have been unpacked (`k400_archives.py`).
"""

from pathlib import Path

from stsm_cli.data.manifest import SPLITS
from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.k400_archives import is_replacement, unpack_k400
from stsm_cli.prepare.k400_lists import (
    NUM_CLASSES,
    beginning,
    clip_name,
    has_end,
    read_clips,
    with_marks,
    youtube_id,
)
from stsm_cli.prepare.listing import Listing
from stsm_cli.prepare.matching import Entries, Entry, Found, assign, sorted_classes
from stsm_cli.prepare.tree import Tree, folder_of, scan, split_of, stem
from stsm_cli.progress import SILENT, Progress


def list_k400(root: Path, *, progress: Progress = SILENT) -> Listing:
    """The clips of Kinetics-400 below a folder.

    A label is the rank of its class among the sorted names. A clip from the archive of replacements
    counts instead of the corrupted one. The test split is left out.

    Args:
        root: The data root.
        progress: Shows archives being unpacked.

    Raises:
        DataError: There is nothing of the kind, an archive or a list is wrong (file and line), or a
            label is not the rank of its class.
    """
    tree = scan(root, progress)
    notes = []
    if unpacked := unpack_k400(tree, progress):
        notes.append(f"archives unpacked: {unpacked}")
        tree = scan(root, progress)
    listed, source = read_clips(tree)
    entries = with_marks(listed)
    tree.check_videos("`--download` fetches the archives")
    classes = sorted_classes(entries)
    _check_labels(entries, classes, source)
    clips = _Clips(tree)
    assigned = assign(root, entries, classes, clips.locate)
    return Listing(
        root,
        classes,
        assigned.splits,
        unlisted=tuple(sorted(clips.unlisted())),
        listed_again=tuple(sorted(assigned.again)),
        spares=clips.spares(),
        conflicts=assigned.conflicts,
        faults=tree.faults,
        left_out=tree.count_others(),
        notes=(*notes, source, *_class_notes(classes), *clips.notes()),
    )


def _check_labels(entries: Entries, classes: tuple[str, ...], source: str) -> None:
    if len(classes) > NUM_CLASSES:
        raise DataError(
            f"{source}: Kinetics-400 has {NUM_CLASSES} classes, got {len(classes)}",
            hint="these are of another edition of Kinetics",
        )
    rank = {name: label for label, name in enumerate(classes)}
    raise_problems(
        [
            f"{entry.where}: label of {entry.class_name!r} must be {rank[entry.class_name]}, "
            f"its rank among the sorted classes, got {entry.label}"
            for split in SPLITS
            for entry in entries[split]
            if entry.label not in (None, rank[entry.class_name])
        ]
    )


def _class_notes(classes: tuple[str, ...]) -> list[str]:
    if len(classes) == NUM_CLASSES:
        return []
    return [f"{len(classes)} of {NUM_CLASSES} classes: labels are not those of the full set"]


class _Clips:
    """The files of clips: replacements by YouTube id, all others by their name."""

    def __init__(self, tree: Tree) -> None:
        split = {path: split_of(folder_of(path)) for path in tree.videos}
        kept = [path for path in tree.videos if split[path] != "test"]
        ordinary = [path for path in kept if not is_replacement(path)]
        self._num_test = len(tree.videos) - len(kept)
        self._replacements = Found(
            tree.root, filter(is_replacement, kept), key=lambda path: youtube_id(stem(path))
        )
        self._videos = Found(tree.root, ordinary, key=lambda path: clip_name(stem(path)))
        self._ids = {youtube_id(stem(path)) for path in ordinary}
        self._by_beginning: dict[tuple[str, int] | None, str] = {
            begins: clip_name(stem(path)) for path in ordinary if (begins := beginning(stem(path)))
        }
        self._replaced: list[str] = []
        self._cut_otherwise: list[str] = []

    def locate(self, entry: Entry) -> str | None:
        """The file of a clip.

        That is its replacement, else that of its name, else that of its first second where the
        list, or the file's name, says no more, else that of its id.
        """
        key, begins = youtube_id(entry.key), beginning(entry.key)
        first = f"{begins[0]}_{begins[1]:06d}" if begins else None
        same = first if has_end(entry.key) else self._by_beginning.get(begins)
        names = filter(None, (entry.key, same, key))
        path = next(filter(None, map(self._videos.take, names)), None)
        if replacement := self._replacements.take(key):
            self._replaced.append(entry.name)
            return replacement
        if path is None and key in self._ids:
            self._cut_otherwise.append(entry.name)
        return path

    def unlisted(self) -> list[str]:
        """Clips that no list names."""
        return self._videos.unlisted() + self._replacements.unlisted()

    def spares(self) -> dict[str, tuple[str, ...]]:
        """Further files of clips, by the first."""
        return self._videos.spares() | self._replacements.spares()

    def notes(self) -> list[str]:
        """Sentences on what was decided about them."""
        notes = []
        if self._replaced:
            notes.append(f"clips that come from the archive of replacements: {len(self._replaced)}")
        if self._cut_otherwise:
            # ours: another ten seconds need not show the action, so the label may be wrong
            notes.append(
                "clips that are missing, though another part of the same YouTube video is there: "
                f"{len(self._cut_otherwise)}, such as {self._cut_otherwise[0]}"
            )
        if self._num_test:
            notes.append(f"videos of the test split, left out: {self._num_test}")
        return notes
