import json
import re
import zipfile
from itertools import pairwise

import pytest

from stsm_cli.data.mirror import find_mirror
from stsm_cli.errors import DataError
from stsm_cli.prepare.sthv2 import list_sthv2

LABELS = {
    "Pretending to pour something": "0",
    "Pulling something from left to right": "1",
    "Pulling something from right to left": "2",
    "Pushing something from left to right": "3",
    "Pushing something from right to left": "4",
    "Turning the camera left while filming something": "5",
    "Turning the camera right while filming something": "6",
}
TRAIN = {"74225": 2, "1": 0, "30": 6}
VAL = {"8": 2, "9": 5}


def template(label):
    return list(LABELS)[label].replace("something", "[something]")


def entries(videos):
    return json.dumps([{"id": id, "template": template(label)} for id, label in videos.items()])


@pytest.fixture
def lists():
    return {
        "labels.json": json.dumps(dict(reversed(LABELS.items()))),
        "train.json": entries(TRAIN),
        "validation.json": entries(VAL),
    }


def videos(folder, suffix=".webm"):
    return {f"{folder}{name}{suffix}": None for name in TRAIN | VAL}


def labels(listing, split):
    return {video.name: video.label for video in listing.splits[split]}


def error(root):
    with pytest.raises(DataError) as caught:
        list_sthv2(root)
    return caught.value


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
@pytest.mark.parametrize("folder", ["", "annotations/"])
@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_both_spellings_anywhere(plant, lists, prefix, folder, suffix):
    files = {f"{folder}{prefix}{name}": content for name, content in lists.items()}
    listing = list_sthv2(plant(files | videos("20bn-something-something-v2/", suffix)))
    assert listing.classes == tuple(LABELS)
    assert (labels(listing, "train"), labels(listing, "val")) == (TRAIN, VAL)
    assert listing.splits["train"][0].path == f"20bn-something-something-v2/74225{suffix}"
    names = ", ".join(f"{prefix}{name}" for name in lists)
    assert listing.notes == (f"videos listed by {names}", "7 classes, the full set has 174")


def test_mirror_pairs_are_found_by_name(plant, lists):
    classes = list_sthv2(plant(lists | videos(""))).classes
    assert find_mirror("sthv2", classes).labels(classes).tolist() == [0, 2, 1, 4, 3, 6, 5]


@pytest.mark.parametrize("folder", ["", "20bn-something-something-v2-{:02}/"])
def test_the_parts_of_the_archive(plant, lists, tar_gz, clip_bytes, folder):
    members = {f"20bn-something-something-v2/{n}.webm": clip_bytes[0] for n in TRAIN | VAL}
    content = tar_gz(members)
    cuts = [0, 100, len(content) // 2, len(content)]
    parts = {
        f"{folder.format(number)}20bn-something-something-v2-{number:02}": content[start:end]
        for number, (start, end) in enumerate(pairwise(cuts))
    }
    root = plant(lists | parts)
    listing = list_sthv2(root)
    assert listing.splits["val"][0].path == "videos/20bn-something-something-v2/8.webm"
    assert listing.notes[0] == "archive unpacked into videos/"
    names = {path.split("/")[0] for path in parts}
    assert {path.name for path in root.iterdir()} == {"videos", *lists, *names}
    assert list_sthv2(root).notes == listing.notes[1:]


def test_videos_that_are_there_are_not_unpacked_again(plant, lists, tar_gz, clip_bytes):
    archive = tar_gz({f"{name}.webm": clip_bytes[0] for name in TRAIN | VAL})
    root = plant(lists | {"20bn-something-something-v2-00": archive, "mine/8.webm": None})
    listing = list_sthv2(root)
    assert listing.splits["val"][0].path == "mine/8.webm"
    assert listing.duplicates == ()
    files = {f"mine/{name}.webm": None for name in TRAIN | VAL}
    root = plant(lists | files | {"20bn-something-something-v2-00": archive}, root / "b")
    assert list_sthv2(root).notes[0] == "archive holds no other videos"


def test_a_part_in_the_middle_that_is_missing(plant, lists):
    names = ["20bn-something-something-v2-01", "20bn-something-something-v2-03"]
    root = plant(lists | dict.fromkeys(names, b""))
    assert str(error(root)).splitlines() == [
        f"{root / '20bn-something-something-v2-00'}: this part is missing",
        f"{root / '20bn-something-something-v2-02'}: this part is missing",
    ]


def test_missing_unlisted_double_and_test_videos(plant, lists):
    files = lists | videos("v/") | {"test.json": json.dumps([{"id": "500"}])}
    files |= dict.fromkeys(["v/500.webm", "v/600.webm", "w/8.mp4"])
    del files["v/1.webm"]
    listing = list_sthv2(plant(files))
    assert [video.path for video in listing.splits["train"]] == ["v/74225.webm", None, "v/30.webm"]
    assert listing.unlisted == ("v/600.webm",)
    assert listing.duplicates == ("w/8.mp4",)
    assert "videos of the test split, left out: 1" in listing.notes


def test_validation_alone_will_do(plant, lists):
    del lists["train.json"]
    listing = list_sthv2(plant(lists | videos("")))
    assert listing.splits["train"] == ()
    assert labels(listing, "val") == VAL


def test_a_template_that_is_not_among_the_labels_names_the_video(plant, lists):
    lists["train.json"] = json.dumps([{"id": "77", "template": "Eating [something]"}])
    root = plant(lists | videos(""))
    message = f"{root / 'train.json'}: entry 1 (id 77): labels.json lacks class 'Eating something'"
    assert str(error(root)) == message


def test_an_entry_without_a_template(plant, lists):
    lists["train.json"] = json.dumps([{"id": 77}, {"id": 78, "template": 3}])
    root = plant(lists | videos(""))
    assert str(error(root)).splitlines() == [
        f"{root / 'train.json'}: entry 1 (id 77) has no template",
        f"{root / 'train.json'}: entry 2 (id 78) has no template",
    ]


@pytest.mark.parametrize("content", ['{"a": 1}', "[1]", '[{"template": "x"}]'])
def test_a_list_that_is_none(plant, lists, content):
    root = plant(lists | videos("") | {"train.json": content})
    message = f"{root / 'train.json'}: must hold a list of objects with an id"
    assert str(error(root)) == message


def test_lists_of_nothing(plant, lists):
    lists |= {"train.json": "[]", "validation.json": "[]"}
    root = plant(lists | videos(""))
    message = f"{root / 'train.json'} and {root / 'validation.json'}: no video listed"
    assert str(error(root)) == message


@pytest.mark.parametrize("content", ["[]", "{}"])
def test_labels_that_are_none(plant, lists, content):
    root = plant(lists | videos("") | {"labels.json": content})
    message = f"{root / 'labels.json'}: must hold an object of templates and their indices"
    assert str(error(root)) == message


@pytest.mark.parametrize("index", ["2", "one", 0, None])
def test_indices_must_be_those_of_a_list(plant, lists, index):
    root = plant(lists | videos("") | {"labels.json": json.dumps({"a": "0", "b": index})})
    message = f"{root / 'labels.json'}: indices must be 0 to 1, each once, but none is"
    assert str(error(root)).startswith(message)


def test_broken_json_names_the_line(plant, lists):
    root = plant(lists | videos("") | {"validation.json": '[\n{"id": 1,}]'})
    with pytest.raises(DataError, match=re.escape(f"{root / 'validation.json'}:2: not JSON (")):
        list_sthv2(root)


def test_no_lists_says_what_was_looked_for(plant, lists):
    root = plant({"labels.json": lists["labels.json"]} | videos(""))
    caught = error(root)
    assert str(caught).startswith(f"{root}: no lists of Something-Something V2 found, looked for")
    assert caught.hint == f"put the three files anywhere below {root}"


def test_no_videos_says_what_to_put_there(plant, lists):
    caught = error(plant(lists))
    assert str(caught).endswith("no video found")
    assert "20bn-something-something-v2-NN" in caught.hint


def test_zipped_parts_are_to_be_unzipped(plant, lists):
    root = plant(lists | {"20bn-something-something-v2-00.zip": b"PK"})
    assert error(root).hint == f"`cd {root} && unzip 20bn-something-something-v2-00.zip`"
    root = plant({"more/20bn-something-something-v2-01.zip": b"PK"})
    assert error(root).hint == f"`cd {root} && unzip '20bn-*.zip'` unzips all that lie there"


def test_zipped_lists_are_to_be_unzipped(plant):
    name = "20bn-something-something-download-package-labels.zip"
    caught = error(root := plant({name: b"PK"}))
    assert "no lists of Something-Something V2 found" in str(caught)
    assert caught.hint == f"`cd {root} && unzip {name}`"


def test_a_zip_whose_parts_are_not_there_is_to_be_unzipped(plant, lists, tmp_path):
    zipped = tmp_path / "20bn-something-something-v2-00.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("20bn-something-something-v2-00", b"\x1f\x8b")
        file.writestr("20bn-something-something-v2-01", b"")
    root = plant(
        lists | {"20bn-something-something-v2-00": b"\x1f\x8b", zipped.name: zipped.read_bytes()}
    )
    caught = error(root)
    assert str(caught) == f"{root}: parts of the archive are still in {zipped.name}"
    assert caught.hint == f"`cd {root} && unzip {zipped.name}`"


def test_a_zip_called_as_its_part_and_a_part_called_a_zip(plant, lists):
    name = "20bn-something-something-v2-00"
    caught = error(root := plant(lists | {name: b"PK\x03\x04"}))
    assert str(caught) == f"{root / name}: is a zip, and should be a part of the archive"
    assert caught.hint == f"call it {name}.zip, and unzip it"
    (root / name).rename(root / f"{name}.zip")
    (root / f"{name}.zip").write_bytes(b"\x1f\x8b\x08")
    told = f"{name}.zip is a part itself, and no zip: take `.zip` off its name"
    assert error(root).hint == told
    (root / name).write_bytes(b"\x1f\x8b\x08")
    (root / f"{name}.zip").rename(root / f"{name[:-1]}1.zip")
    assert str(error(root)) == f"{root}: parts of the archive are still in {name[:-1]}1.zip"


def test_zips_of_videos_are_not_where_lists_are_to_be_had(plant):
    caught = error(root := plant({"20bn-something-something-v2-00.zip": b"PK"}))
    assert caught.hint == f"put the three files anywhere below {root}"


def test_a_damaged_zip_tells_nothing_and_a_browser_s_name_is_quoted(plant, lists):
    name = "20bn-something-something-v2-00 (1).zip"
    caught = error(root := plant(lists | {name: b"PK\x01\x02damaged"}))
    assert caught.hint == f"`cd {root} && unzip '{name}'`"
    (root / "20bn-something-something-v2-00").write_bytes(b"\x1f\x8b\x08")
    assert "ends too early" in str(error(root))
