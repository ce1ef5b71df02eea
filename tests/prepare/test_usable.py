import csv
import errno
import json
from dataclasses import replace

import pytest

from stsm_cli.data.counts import SplitCounts, read_counts
from stsm_cli.data.decode import read_frames
from stsm_cli.data.manifest import VideoRecord, read_manifest
from stsm_cli.errors import DataError
from stsm_cli.prepare import usable
from stsm_cli.prepare.check import Check
from stsm_cli.prepare.findings import rows, sentences, title
from stsm_cli.prepare.folder import list_folder
from stsm_cli.prepare.listing import Draw, ListedVideo, Listing
from stsm_cli.prepare.transcode import Encoding
from stsm_cli.prepare.usable import check_usable, measure_motion, prepare_listing
from stsm_cli.prepare.workers import UNFORESEEN


@pytest.fixture
def listing(plant, clip_bytes):
    """Two sound training videos and one of validation; and all that can be wrong."""
    cut = clip_bytes[0][: -len(clip_bytes[0]) // 8]
    files = {"a/1.mp4": None, "a/cut.mp4": cut, "b/2.mp4": None, "b/text.mp4": "text"}
    root = plant(files | {"b/3.mp4": None, "extra.mp4": None})
    train = [("1", 0, "a/1.mp4"), ("cut", 0, "a/cut.mp4"), ("gone", 1, None), ("2", 1, "b/2.mp4")]
    val = [("text", 1, "b/text.mp4"), ("3", 1, "b/3.mp4"), ("moved", 1, "b/moved.mp4")]
    splits = {"train": train, "val": val}
    return Listing(
        root,
        ("archery", "playing guitar"),
        {name: tuple(ListedVideo(*video) for video in split) for name, split in splits.items()},
        unlisted=("extra.mp4",),
        listed_again=("a/1.mp4",),
        copies={"b/3.mp4": "b/2.mp4"},
        notes=("lists of a test",),
    )


def make(listing, **options):
    return prepare_listing(listing, dataset="k400", workers=1, **options)


def test_the_manifest_holds_what_can_be_used(listing):
    make(listing)
    train, val = (read_manifest(listing.root, split) for split in ("train", "val"))
    assert train.classes == listing.classes
    assert list(train.records) == [
        VideoRecord("a/1.mp4", 0, 8, 8.0, 32, 32),
        VideoRecord("b/2.mp4", 1, 8, 8.0, 32, 32),
    ]
    assert [record.path for record in val.records] == ["b/3.mp4"]


def test_motion_is_measured_of_a_set_to_test_on_alone(listing):
    splits = {"train": (), "val": listing.splits["val"]}
    make(replace(listing, splits=splits, listed_again=(), copies={}))
    assert "motion of 1 of 1 videos" in measure_motion(listing.root, workers=1)


def test_what_cannot_be_used_is_counted_and_named(listing):
    report = make(listing)
    counts = {split: read_counts(listing.root, split) for split in ("train", "val")}
    broken = counts["train"].corrupt + counts["train"].short
    assert (counts["train"].listed, counts["train"].usable, counts["train"].missing) == (4, 2, 1)
    assert broken == 1
    assert counts["val"] == SplitCounts(listed=3, usable=1, missing=1, corrupt=1, short=0)
    with (listing.root / "manifest" / "problems.csv").open(newline="") as file:
        problems = list(csv.DictReader(file))
    told = [(problem["video"], problem["split"], problem["status"]) for problem in problems]
    assert told == [
        ("a/cut.mp4", "train", "short" if counts["train"].short else "corrupt"),
        ("b/text.mp4", "val", "corrupt"),
        ("gone", "train", "missing"),
        ("b/moved.mp4", "val", "missing"),
        ("extra.mp4", "", "unlisted"),
        ("a/1.mp4", "", "duplicate"),
        ("b/3.mp4", "", "copy"),
    ]
    assert problems[-1]["reason"] == "byte for byte b/2.mp4"
    assert all(problem["reason"] for problem in problems)
    assert report["num_problems"] == 7


def test_the_report_says_what_the_numbers_mean(listing):
    report = make(listing)
    assert json.loads((listing.root / "manifest" / "report.json").read_text()) == report
    assert report["class_hash"] == read_manifest(listing.root, "val").class_hash
    assert (report["verification"], report["transcode"]) == ("full", None)
    assert report["verified_by"].startswith("PyAV ")
    assert title(report) == "Kinetics-400"
    assert rows(report)[1] == ["val", "3", "2", "1", "1", "1", "0"]
    text = "\n".join(sentences(report))
    assert "lists of a test" in text
    assert (
        "val: 1 usable; known are 19,906 officially listed, 19,881 in the official archives, "
        "19,796 in MMAction2's copy" in text
    )
    assert "val b/text.mp4: corrupt, does not open (moov atom not found)" in text
    assert report["classes_without_usable"] == {"train": [], "val": ["archery"]}
    assert "warning: val: classes without a usable video: 1 of 2 (archery)" in text
    leak = "copies, byte for byte, of another video: 1; warning: 1 of them would validate what is"
    assert leak in text
    assert "1 unlisted, 1 duplicate\n" in text
    assert "7 problems in all, in manifest/problems.csv" in text
    assert "every frame of every video was decoded" in text


def test_whatever_is_wrong_besides_is_counted_named_and_said(plant):
    """Names of all kinds, files of others, one video of two labels, a class that a program runs."""
    files = {f"{name}/{number}.mp4": None for name in ("=a", "b") for number in range(3)}
    root = plant(files | {"b/1.jpg": "", "b/2.jpg": "", "b/x.psd": ""})
    (root / "b" / "again.mp4").hardlink_to(root / "=a" / "0.mp4")
    listing = list_folder(root)
    faults = {"-closed": "cannot be read (Permission denied)", "b/\udce9.mp4": "not UTF-8"}
    conflicts = {"b/0.mp4": "'b' in train (x:1) counts, not '=a' in val (x:2)"}
    report = make(replace(listing, faults=faults, conflicts=conflicts, listed_again=("b/0.mp4",)))
    assert (report["left_out"], report["duplicates"]) == ({".jpg": 2, ".psd": 1}, 0)
    assert (report["faults"], report["conflicts"]) == (faults, conflicts)
    assert json.loads((root / "manifest" / "report.json").read_text()) == report
    with (root / "manifest" / "problems.csv").open(newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [
        ("'-closed", "", "unreadable", "cannot be read (Permission denied)"),
        (r"b/\udce9.mp4", "", "unreadable", "not UTF-8"),
        ("b/0.mp4", "", "conflict", conflicts["b/0.mp4"]),
        ("b/again.mp4", "", "copy", "byte for byte =a/0.mp4, which is '=a'"),
    ]
    text = "\n".join(sentences(report))
    for told in (
        "copies, byte for byte, of another video: 1, each in that video's split; "
        "warning: 1 of them under another class",
        "warning: videos listed under two labels or in both splits: 1, such as "
        "b/0.mp4: 'b' in train (x:1) counts, not '=a' in val (x:2)",
        "warning: folders, links and names that could not be read: 2, such as "
        "-closed: cannot be read (Permission denied)",
        "left out, no videos by their suffix: 2 .jpg, 1 .psd",
    ):
        assert told in text
    records = [r.path for split in ("train", "val") for r in read_manifest(root, split).records]
    assert "=a/0.mp4" in records  # what is read again has every name as it is


def test_a_bug_costs_its_video_and_is_counted(plant, monkeypatch):
    root = plant({f"{name}/{number}.mp4": None for name in "ab" for number in range(3)})
    bug = Check("corrupt", f"{UNFORESEEN}KeyError: 'x' (y.py:1)", lasting=False)

    def fail_on_one(root, paths, task, **options):
        return dict.fromkeys(paths, Check("ok", "", 8, 8.0, 32, 32)) | {"a/0.mp4": bug}

    monkeypatch.setattr(usable, "examine", fail_on_one)
    report = make(list_folder(root))
    assert report["unforeseen"] == 1
    text = "\n".join(sentences(report))
    assert "warning: videos on which the program itself failed, please report why: 1" in text
    assert "train a/0.mp4: corrupt, internal error: KeyError: 'x' (y.py:1)" in text


def test_what_may_pass_is_counted(plant, monkeypatch):
    root = plant({f"{name}/{number}.mp4": None for name in "ab" for number in range(3)})
    lost = {f"{name}/0.mp4": Check("corrupt", "killed", lasting=False) for name in "ab"}
    ok = Check("ok", "", 8, 8.0, 32, 32)
    monkeypatch.setattr(
        usable, "examine", lambda root, paths, task, **_: dict.fromkeys(paths, ok) | lost
    )
    report = make(list_folder(root))
    assert (report["passing"], report["unforeseen"]) == (2, 0)
    told = "(time, memory, disk); the same command tries them again: 2"
    assert told in "\n".join(sentences(report))


def test_many_kinds_of_other_files_are_summed_up(listing):
    left_out = {".jpg": 20000, ".txt": 3, ".xml": 2, ".md": 1, ".py": 1}
    text = "\n".join(sentences(make(replace(listing, left_out=left_out))))
    kinds = "20,000 .jpg, 3 .txt, 2 .xml and 2 more kinds"
    assert f"left out, no videos by their suffix: {kinds}" in text


def test_what_is_odd_about_usable_videos_is_noted_and_said(listing, monkeypatch):
    def examine(*args, **options):
        checks = whole(*args, **options)
        noted = replace(checks["b/2.mp4"], from_start=True, note="h264: mmco: unref short failure")
        return checks | {"b/2.mp4": noted}

    whole = usable.examine
    monkeypatch.setattr(usable, "examine", examine)
    report = make(listing)
    found = [read_manifest(listing.root, split).from_start for split in ("train", "val")]
    assert found == [{"b/2.mp4"}, frozenset()]
    assert report["notes"][-2:] == [
        "videos that are read from their start, as seeks in them mislead: 1",
        "usable videos of which FFmpeg complains, though no frame is damaged: 1",
    ]


def test_a_quick_look_says_so(listing):
    assert "quick: only the ends and the middle" in "\n".join(sentences(make(listing, quick=True)))


def test_videos_that_were_re_encoded_are_listed_in_place_of_the_originals(listing):
    encoding = Encoding(16, gop=4, crf=30)
    before = {path: path.read_bytes() for path in listing.root.glob("*/*.mp4")}
    report = make(listing, encoding=encoding)
    records = read_manifest(listing.root, "train").records
    assert [record.path for record in records] == [
        "videos_16g4q30/a/1.mp4",
        "videos_16g4q30/b/2.mp4",
    ]
    assert (records[0].width, records[0].height, records[0].num_frames) == (16, 16, 8)
    assert read_frames(listing.root / records[0].path, None, decoder="pyav").shape == (8, 16, 16, 3)
    transcode = report["transcode"]
    assert transcode["encoder"].startswith("libx264 by PyAV")
    made = list((listing.root / "videos_16g4q30").rglob("*.mp4"))
    assert transcode["bytes"] == sum(path.stat().st_size for path in made)
    assert len(made) == 3
    assert (transcode["short_side_px"], transcode["gop"], transcode["crf"]) == (16, 4, 30)
    assert "re-encoded in videos_16g4q30: short side 16, a key frame every 4" in "\n".join(
        sentences(report)
    )
    assert {path: path.read_bytes() for path in before} == before
    stamps = {path: path.stat().st_mtime_ns for path in made}
    made[0].unlink()
    assert make(listing, encoding=encoding)["splits"] == report["splits"]
    again = {path: path.stat().st_mtime_ns for path in made}
    assert [path for path in made if again[path] != stamps[path]] == [made[0]]


def test_two_videos_that_would_become_one_are_refused(listing):
    splits = {"train": (ListedVideo("1", 0, "a/1.mp4"), ListedVideo("2", 0, "a/1.webm"))}
    listing = Listing(listing.root, listing.classes, splits)
    message = r"a/1\.mp4 and a/1\.webm would both become videos_16g16/a/1\.mp4"
    with pytest.raises(DataError, match=message):
        make(listing, encoding=Encoding(16))


def test_a_split_of_which_nothing_is_left_is_refused_but_written(listing):
    (listing.root / "b" / "3.mp4").unlink()
    report = make(listing)
    message = r"val: none of 3 listed videos can be used \(2 missing, 1 corrupt, 0 short\)"
    with pytest.raises(DataError, match=message) as caught:
        check_usable(report)
    hint = "manifest/problems.csv has each with its reason; train can be used as it is"
    assert caught.value.hint == hint
    assert len(read_manifest(listing.root, "train").records) == 2


def test_where_the_first_file_of_a_video_is_broken_another_counts(plant, clip_bytes):
    files = {
        "a/1.mp4": "text",
        "a/1.webm": "text",
        "b/1.mp4": None,
        "b/2.mp4": None,
        "c/2.mp4": None,
    }
    video = ListedVideo("1", 0, "a/1.mp4"), ListedVideo("2", 0, "b/2.mp4")
    spares = {"a/1.mp4": ("a/1.webm", "b/1.mp4"), "b/2.mp4": ("c/2.mp4",)}
    listing = Listing(plant(files), ("x",), {"train": video, "val": ()}, spares=spares)
    report = make(listing)
    paths = [record.path for record in read_manifest(listing.root, "train").records]
    assert paths == ["b/1.mp4", "b/2.mp4"]
    told = "videos of which the first file is broken, so that another counts: 1"
    assert (report["notes"][0], report["duplicates"]) == (told, 3)
    assert [line[:3] for line in problems_of(listing.root)] == [
        ["a/1.mp4", "", "corrupt"],
        ["a/1.webm", "", "corrupt"],
        ["c/2.mp4", "", "duplicate"],
    ]
    assert problems_of(listing.root)[0][3].startswith("does not open")


def problems_of(root):
    with (root / "manifest" / "problems.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_further_files_are_tried_one_after_the_other(plant, clip_bytes):
    """Re-encoded, all files of a name in a folder become one."""
    files = {"a/1.avi": "text", "a/1.mkv": None, "a/1.mp4": None}
    spares = {"a/1.avi": ("a/1.mkv", "a/1.mp4"), "a/gone.mp4": ("a/1.mp4",)}
    splits = {"train": (ListedVideo("1", 0, "a/1.avi"),), "val": ()}
    copies = {"a/1.avi": "a/0.avi"}
    listing = Listing(plant(files), ("x",), splits, spares=spares, copies=copies)
    first = make(listing, encoding=Encoding(short_side_px=16))
    (record,) = read_manifest(listing.root, "train").records
    assert record.path.endswith("/a/1.mp4")
    assert first["transcode"]["bytes"] == (listing.root / record.path).stat().st_size
    ledger = (listing.root / "manifest" / "ledger.jsonl").read_text()
    assert "a/1.mkv" in ledger
    assert '"a/1.mp4"' not in ledger


def test_where_all_files_of_a_video_are_broken_the_first_is_told(plant):
    video = (ListedVideo("1", 0, "a/1.mp4"), ListedVideo("2", 0, "2.mp4"))
    root = plant({"a/1.mp4": "text", "b/1.mp4": "text", "2.mp4": None})
    listing = Listing(root, ("x",), {"train": video, "val": ()}, spares={"a/1.mp4": ("b/1.mp4",)})
    report = make(listing)
    assert (report["notes"][0][:6], report["duplicates"]) == ("train:", 1)
    assert report["first_problems"][0].startswith("train a/1.mp4: corrupt")


def test_a_split_that_lists_nothing_is_no_failure(listing):
    splits = {"train": (), "val": listing.splits["val"]}
    check_usable(make(Listing(listing.root, listing.classes, splits)))


def test_broken_videos_that_are_alike_are_no_copies(listing):
    report = make(replace(listing, copies={"b/text.mp4": "a/cut.mp4"}))
    assert report["num_problems"] == 6
    assert "byte for byte" not in "\n".join(sentences(report))


def test_only_the_first_classes_without_a_video_are_shown(listing):
    classes = ("archery", "playing guitar", "c", "d", "e", "f")
    text = "\n".join(sentences(make(replace(listing, classes=classes))))
    assert "warning: train: classes without a usable video: 4 of 6 (c, d, e, ...)" in text


@pytest.fixture
def unsplit(plant):
    """Two classes of three videos, of which the first is broken; all are in `train`."""
    paths = [f"{name}/{number}.mp4" for name in "ab" for number in "123"]
    root = plant({path: "text" if "1" in path else None for path in paths})
    videos = tuple(ListedVideo(path, "ab".index(path[0]), path) for path in paths)
    return Listing(root, ("a", "b"), {"train": videos, "val": ()}, draw=Draw(0.5, 0))


@pytest.mark.parametrize("seed", range(3))
def test_a_split_is_drawn_from_what_can_be_used(unsplit, seed):
    report = make(replace(unsplit, draw=Draw(0.5, seed)))
    check_usable(report)
    for split in ("train", "val"):
        assert [video.label for video in read_manifest(unsplit.root, split).records] == [0, 1]
    assert rows(report) == [
        ["train", "4", "4", "2", "0", "2", "0"],
        ["val", "2", "2", "2", "0", "0", "0"],
    ]
    assert report["drawn"] == {"val_share": 0.5, "seed": seed}
    assert report["classes_without_usable"] == {"train": [], "val": []}


def test_a_class_with_one_usable_video_is_told(unsplit):
    (unsplit.root / "a/2.mp4").write_text("text")
    report = make(unsplit)
    check_usable(report)
    assert report["classes_without_usable"] == {"train": [], "val": ["a"]}
    text = "\n".join(sentences(report))
    assert "warning: val: classes without a usable video: 1 of 2 (a)" in text
    assert "warning: train" not in text


def test_copies_are_drawn_into_one_split(unsplit):
    copies = {"a/3.mp4": "a/2.mp4"}
    report = make(replace(unsplit, copies=copies))
    assert [video.label for video in read_manifest(unsplit.root, "val").records] == [1]
    assert "copies, byte for byte, of another video: 1, each in that video's split" in "\n".join(
        sentences(report)
    )


def test_where_nothing_can_be_drawn_there_is_nothing_to_validate_on(unsplit):
    for name in "ab":
        (unsplit.root / name / "2.mp4").write_text("text")
    report = make(unsplit)
    message = r"^val: no class has a second usable video to validate on$"
    with pytest.raises(DataError, match=message) as caught:
        check_usable(report)
    assert caught.value.hint.startswith("add videos (copies of one count as one), or name those")


@pytest.mark.parametrize(
    ("code", "reason", "hint"),
    [
        (errno.ENOSPC, "No space left on device", "free some space"),
        (errno.EROFS, "Read-only file system", "prepare a folder of links"),
    ],
)
def test_a_disk_that_takes_nothing_is_one_line(listing, monkeypatch, code, reason, hint):
    def refuse(*_):
        raise OSError(code, reason, "manifest/problems.csv")

    monkeypatch.setattr(usable, "write_problems", refuse)
    message = rf"manifest/problems\.csv: cannot be read or written \({reason}\)"
    with pytest.raises(DataError, match=message) as caught:
        make(listing)
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["write_problems", "write_report"])
def test_a_set_that_is_not_prepared_again_to_the_end_is_as_before(unsplit, monkeypatch, name):
    make(unsplit)
    folder = unsplit.root / "manifest"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(usable, name, refuse)
    with pytest.raises(DataError, match="No space left on device"):
        make(replace(unsplit, classes=("c", "d"), draw=Draw(0.5, 1)))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
