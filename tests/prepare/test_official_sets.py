"""UCF101 and HMDB51 by name, from trees as their archives unpack."""

import re
from dataclasses import replace

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare.official_sets import HMDB51, UCF101, list_official

SMALL = {
    "ucf101": replace(UCF101, num_classes=2, counts=dict.fromkeys((1, 2, 3), (4, 2))),
    "hmdb51": replace(HMDB51, num_classes=2, counts=dict.fromkeys((1, 2, 3), (2, 2))),
}
CLASSES = ("HandstandPushups", "Archery")
ODD = ("#122_a(Rad)", "B&c;_d[1]!", "e.f_g h", "plain")


def ucf101(folder="HandstandPushups", suffix=".avi"):
    """Groups 1 to 3 of two classes; each split tests another group."""
    names = {"HandstandPushups": "HandStandPushups", "Archery": "Archery"}
    folders = {"HandstandPushups": folder, "Archery": "Archery"}
    videos = {
        f"UCF-101/{folders[name]}/v_{names[name]}_g0{group}_c01{suffix}": None
        for name in CLASSES
        for group in (1, 2, 3)
    }
    lists = {"ucfTrainTestlist/classInd.txt": "1 HandstandPushups\r\n2 Archery\r\n"}
    for split in (1, 2, 3):
        listed = [
            (group, f"{name}/v_{names[name]}_g0{group}_c01.avi", label)
            for label, name in enumerate(CLASSES, 1)
            for group in (1, 2, 3)
        ]
        train = [f"{file} {label}\n" for group, file, label in listed if group != split]
        test = [f"{file}\n" for group, file, _ in listed if group == split]
        lists[f"ucfTrainTestlist/trainlist0{split}.txt"] = "".join(train)
        lists[f"ucfTrainTestlist/testlist0{split}.txt"] = "".join(test)
    return videos, lists


def hmdb51():
    """Four videos of two classes: in each split one trains, one tests, two are in neither."""
    videos = {f"{c}/{name}_{c}.avi": None for c in ("brush_hair", "wave") for name in ODD}
    lists = {}
    for split in (1, 2, 3):
        parts = ["1", "2", "0", "0"][-split:] + ["1", "2", "0", "0"][:-split]
        for c in ("brush_hair", "wave"):
            lines = [f"{name}_{c}.avi {part} \n" for name, part in zip(ODD, parts, strict=True)]
            path = f"testTrainMulti_7030_splits/{c}_test_split{split}.txt"
            lists[path] = "".join(lines)
    return videos, lists


SETS = {"ucf101": ucf101, "hmdb51": hmdb51}


def refused(root, official, **options):
    with pytest.raises(DataError) as caught:
        list_official(root, official, **options)
    return str(caught.value), caught.value.hint


@pytest.mark.parametrize("split", [1, 2, 3])
def test_ucf101_by_each_of_its_splits(plant, split):
    videos, lists = ucf101()
    listing = list_official(plant(videos | lists), SMALL["ucf101"], split=split)
    assert listing.classes == CLASSES  # as classInd.txt numbers them
    assert {video.path for video in listing.splits["val"]} == {
        f"UCF-101/HandstandPushups/v_HandStandPushups_g0{split}_c01.avi",
        f"UCF-101/Archery/v_Archery_g0{split}_c01.avi",
    }
    assert len(listing.splits["train"]) == 4
    assert (listing.unlisted, listing.duplicates, listing.conflicts) == ((), (), {})
    assert listing.notes == (
        f"split {split} of UCF101, listed by ucfTrainTestlist/trainlist0{split}.txt "
        f"and ucfTrainTestlist/testlist0{split}.txt",
        "the test part is val: the set has no validation part",
    )


@pytest.mark.parametrize("folder", ["HandStandPushups", "handstandpushups"])
def test_capitals_of_ucf101_s_handstand_do_not_matter(plant, folder):
    videos, lists = ucf101(folder, ".mp4")
    path = "ucfTrainTestlist/trainlist01.txt"
    lists[path] = lists[path].replace("HandstandPushups/", "HandStandPushups/")
    listing = list_official(plant(videos | lists), SMALL["ucf101"])
    assert listing.classes == CLASSES
    assert all(video.path for part in listing.splits.values() for video in part)
    assert [video.label for video in listing.splits["train"]] == [0, 0, 1, 1]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51_by_each_of_its_splits_and_with_its_odd_names(plant, split):
    videos, lists = hmdb51()
    listing = list_official(plant(videos | lists), SMALL["hmdb51"], split=split)
    assert listing.classes == ("brush_hair", "wave")
    at = {1: (1, 2), 2: (2, 3), 3: (3, 0)}[split]
    for part, place in zip(("train", "val"), at, strict=True):
        assert [video.path for video in listing.splits[part]] == [
            f"{c}/{ODD[place]}_{c}.avi" for c in ("brush_hair", "wave")
        ]
    assert (listing.unlisted, listing.duplicates) == ((), ())
    assert listing.notes == (
        f"split {split} of HMDB51, listed by 2 files *_test_split{split}.txt",
        "videos in neither part of it: 4",
        "the test part is val: the set has no validation part",
    )


def test_of_copies_of_hmdb51_s_lists_the_nearest_are_read(plant):
    videos, lists = hmdb51()
    copies = {f"old/{path}": "nothing of the kind\n" for path in lists}
    listing = list_official(plant(videos | lists | copies), SMALL["hmdb51"])
    assert (len(listing.splits["train"]), listing.duplicates) == (2, ())


@pytest.mark.parametrize("name", SETS)
def test_what_is_missing_and_what_is_unlisted_is_known(plant, name):
    videos, lists = SETS[name]()
    listing = list_official(plant(videos | lists), SMALL[name])
    gone = listing.splits["train"][0].path
    del videos[gone]
    folder = gone.rpartition("/")[0]
    root = plant(videos | {f"{folder}/new.avi": None})
    (root / gone).unlink()
    listing = list_official(root, SMALL[name])
    assert [v.path for v in listing.splits["train"]].count(None) == 1
    assert listing.unlisted == (f"{folder}/new.avi",)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "ucf101",
            "warning: 4 training and 2 test videos are listed, split 1 of UCF101 has 9,537 and "
            "3,783",
        ),
        (
            "hmdb51",
            "warning: 2 training and 2 test videos are listed, split 1 of HMDB51 has 3,570 and "
            "1,530",
        ),
    ],
)
def test_lists_of_another_length_than_the_official_ones_are_told(plant, name, told):
    videos, lists = SETS[name]()
    whole = {"ucf101": UCF101, "hmdb51": HMDB51}[name]
    *_, counts, classes = list_official(plant(videos | lists), whole).notes
    assert counts == told
    assert classes == f"2 classes, {whole.name} has {whole.num_classes}"


@pytest.mark.parametrize("name", SETS)
def test_copies_are_found_across_the_parts(plant, name):
    videos, lists = SETS[name]()
    root = plant(videos | lists)
    splits = list_official(root, SMALL[name]).splits
    first, copy = splits["train"][0].path, splits["val"][-1].path
    (root / copy).write_bytes((root / first).read_bytes())
    assert list_official(root, SMALL[name]).copies == {copy: first}


def test_the_official_counts():
    assert {sum(counts) for counts in UCF101.counts.values()} == {13_320}
    assert set(HMDB51.counts.values()) == {(51 * 70, 51 * 30)}


@pytest.mark.parametrize("name", SETS)
def test_there_are_three_splits(plant, name):
    with pytest.raises(ValueError, match="split must be from 1 to 3, got 4"):
        list_official(plant({}), SMALL[name], split=4)


@pytest.mark.parametrize(
    ("name", "looked_for", "archive", "command"),
    [
        (
            "ucf101",
            "classInd.txt, trainlist02.txt and testlist02.txt",
            "UCF101TrainTestSplits-RecognitionTask.zip",
            "unzip",
        ),
        ("hmdb51", "CLASS_test_split2.txt of each class", "test_train_splits.rar", "unrar x"),
    ],
)
def test_missing_lists_are_named_with_where_they_are(plant, name, looked_for, archive, command):
    videos, lists = SETS[name]()
    others = {path: text for path, text in lists.items() if "1" in path}
    root = plant(videos | others | {f"my lists/{archive}": b"packed"})
    message, hint = refused(root, SMALL[name], split=2)
    title = SMALL[name].name
    assert message == f"{root}: no lists of split 2 of {title} found, looked for {looked_for}"
    assert (
        hint == f"they are in {archive}: `cd '{root}/my lists' && {command} {archive}` unpacks it"
    )


def test_ucf101_s_classes_must_be_numbered(plant):
    videos, lists = ucf101()
    del lists["ucfTrainTestlist/classInd.txt"]
    message, _ = refused(plant(videos | lists), SMALL["ucf101"])
    assert "no lists of split 1 of UCF101 found, looked for classInd.txt" in message


def test_a_class_that_is_not_numbered_is_named(plant):
    videos, lists = ucf101()
    lists["ucfTrainTestlist/classInd.txt"] = "1 Archery\n2 Biking\n"
    message, _ = refused(plant(videos | lists), SMALL["ucf101"])
    assert "trainlist01.txt:1: UCF101's class list lacks class 'HandstandPushups'" in message


def test_lists_that_train_on_nothing_are_refused(plant):
    videos, lists = ucf101()
    lists["ucfTrainTestlist/trainlist01.txt"] = "\n"
    message, _ = refused(plant(videos | lists), SMALL["ucf101"])
    assert message.endswith("the lists of split 1 of UCF101 name no video")


EACH = 'for file in *.rar; do unrar x "$file"; done'
BSDTAR = "so does `bsdtar -xf` in place of `unrar x`"


@pytest.mark.parametrize(
    ("name", "files", "commands"),
    [
        ("ucf101", {"UCF101.rar": b"r"}, "unrar x UCF101.rar"),
        (
            "hmdb51",
            {"hmdb51_org.rar": b"r", "test_train_splits.rar": b"r"},
            f"mkdir videos && cd videos && unrar x ../hmdb51_org.rar && {EACH}",
        ),
        ("hmdb51", {"hmdb51_org.rar": b"r", "wave.rar": b"r"}, EACH),
    ],
)
def test_archives_that_are_still_packed_get_their_command(plant, name, files, commands):
    root = plant(files)
    message, hint = refused(root, SMALL[name])
    assert message == f"{root}: no video found"
    assert hint.startswith(f"`cd {root} && {commands}` unpacks ")
    assert hint.endswith(BSDTAR)


@pytest.mark.parametrize("name", SETS)
def test_where_nothing_is_there_the_archives_are_named(plant, name):
    whole = SMALL[name]
    message, hint = refused(plant({}), whole)
    assert message.endswith(": is empty")
    assert hint == f"put {whole.archive} and {whole.list_archive} there"
    _, hint = refused(plant(SETS[name]()[1]), whole)
    assert re.match(rf"put {whole.archive} there; `cd .+ unrar x .*{whole.archive}", hint)


def test_a_class_of_hmdb51_that_is_still_packed_is_told(plant):
    videos, lists = hmdb51()
    root = plant(videos | lists | {"walk.rar": b"r", "wave.rar": b"r", "hmdb51_org.rar": b"r"})
    last = list_official(root, SMALL["hmdb51"]).notes[-1]
    assert last == (
        "warning: archives of classes that are not unpacked: 1, such as walk.rar; "
        f"`cd {root} && {EACH}` unpacks them, {BSDTAR}"
    )
