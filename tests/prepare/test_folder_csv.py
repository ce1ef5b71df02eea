import unicodedata

import pytest

from stsm_cli.prepare.folder import list_folder
from stsm_cli.prepare.listing import Draw


def test_csv_files(plant, by_path):
    csv = {
        "train.csv": "path,label\na/1.mp4,zumba\n./a/2.mp4,archery\nnone.mp4,archery\n",
        "val.csv": "label,path,who\nzumba,a/3.mp4,me\n",
    }
    root = plant(csv | {f"a/{number}.mp4": None for number in (1, 2, 3, 4)})
    listing = list_folder(root)
    assert listing.classes == ("archery", "zumba")
    train = [(video.name, video.label, video.path) for video in listing.splits["train"]]
    assert train == [
        ("a/1.mp4", 1, "a/1.mp4"),
        ("./a/2.mp4", 0, "a/2.mp4"),
        ("none.mp4", 0, None),
    ]
    assert by_path(listing, "val") == {"a/3.mp4": "zumba"}
    assert listing.unlisted == ("a/4.mp4",)
    assert listing.notes == ("videos listed by train.csv and val.csv",)


def test_csv_files_name_videos_whatever_the_disk_makes_of_accents(plant, by_path):
    composed, decomposed = (unicodedata.normalize(form, "é.mp4") for form in ("NFC", "NFD"))
    csv = f"path,label\n{composed},a\nb.mp4,b\nc.mp4,a\nd.mp4,b\n"
    root = plant({"train.csv": csv} | dict.fromkeys((decomposed, "b.mp4", "c.mp4", "d.mp4")))
    assert by_path(list_folder(root), "train")[decomposed] == "a"


def test_names_of_classes_may_be_decomposed(plant, by_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    files = {f"train/{decomposed}/{number}.mp4": None for number in range(2)}
    files |= {"train/b/0.mp4": None, "classes.txt": f"{decomposed}\nb\n"}
    assert list_folder(plant(files)).classes == (composed, "b")


def test_labels_may_be_decomposed(plant, by_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    csv = f"path,label\n1.mp4,{decomposed}\n2.mp4,{composed}\n3.mp4,b\n"
    listing = list_folder(plant({"train.csv": csv} | {f"{n}.mp4": None for n in (1, 2, 3)}))
    assert by_path(listing, "train") == {"1.mp4": composed, "2.mp4": composed, "3.mp4": "b"}


def test_paths_that_nobody_looks_at_are_counted(plant):
    csv = "path,label\n.cache/0.mp4,a\nvideos_10g5/1.mp4,a\nb/.2.mp4,a\nvideos_1/3.mp4,b\n"
    listing = list_folder(plant({"train.csv": csv, ".cache/0.mp4": None, "videos_1/3.mp4": None}))
    assert [video.path for video in listing.splits["train"]] == [None, None, None, "videos_1/3.mp4"]
    assert listing.notes[1] == (
        "videos that are hidden, or in a folder that stsm fills, and so not looked at: 3, such as "
        ".cache/0.mp4"
    )


def test_one_csv_with_splits_and_absolute_paths(plant, by_path):
    root = plant({f"{number}.mp4": None for number in range(3)})
    rows = [f"{root / '0.mp4'},a,train", "1.mp4,b,train", "2.mp4,a,test"]
    (root / "videos.csv").write_text("\n".join(["path,label,split", *rows]))
    listing = list_folder(root)
    assert by_path(listing, "train") == {"0.mp4": "a", "1.mp4": "b"}
    assert by_path(listing, "val") == {"2.mp4": "a"}


def test_test_rows_are_left_out_where_there_are_val_rows(plant, by_path):
    rows = ["0.mp4,a,train", "1.mp4,b,training", "2.mp4,a,valid", "3.mp4,,test", "4.dav,b,test"]
    csv = "\n".join(["path,label,split", *rows])
    files = dict.fromkeys(["0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.dav", "5.mp4"])
    listing = list_folder(plant(files | {"videos.csv": csv}))
    assert by_path(listing, "train") == {"0.mp4": "a", "1.mp4": "b"}
    assert by_path(listing, "val") == {"2.mp4": "a"}
    assert (listing.unlisted, listing.left_out) == (("5.mp4",), {})
    assert listing.notes[1:] == ("test left out: valid is the validation part",)


def test_rows_without_a_split_are_of_the_part_that_their_list_is_called(plant, by_path):
    lists = {"train.csv": "path,label\n0.mp4,a\n1.mp4,b\n"}
    lists["test.csv"] = "path,label,split\n2.mp4,a,test\n3.mp4,b,\n"
    listing = list_folder(plant(dict.fromkeys([f"{n}.mp4" for n in range(4)]) | lists))
    assert by_path(listing, "val") == {"2.mp4": "a", "3.mp4": "b"}
    assert listing.notes == ("videos listed by train.csv and test.csv",)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("train", "val", "test"), "test.csv left out: val.csv is the validation part"),
        (("train", "test", "videos"), "videos.csv left out: train.csv is there"),
        (("videos", "videos", "val"), "val.csv left out: videos.csv is there"),
    ],
)
def test_lists_that_do_not_count_are_named_and_theirs_is_not_unlisted(plant, names, told):
    lists = {f"{name}.csv": f"path,label\n{n}.mp4,a\n{n}.avi,b\n" for n, name in enumerate(names)}
    videos = dict.fromkeys([f"{n}.{suffix}" for n in range(4) for suffix in ("mp4", "avi")])
    listing = list_folder(plant(videos | lists))
    listed = {video.path for videos in listing.splits.values() for video in videos}
    assert not listed & {"2.mp4", "2.avi"}
    assert {"3.mp4", "3.avi"} <= {*listing.unlisted} <= videos.keys() - {"2.mp4", "2.avi"}
    assert listing.notes[1:] == (told,)


@pytest.mark.parametrize("text", ["id,who\n1,me\n", "path\n../x.mp4\n2.mp4\n", b"\xff\xfe"])
def test_a_list_that_does_not_count_may_be_of_any_kind(plant, text):
    lists = {"train.csv": "path,label\n0.mp4,a\n1.mp4,b\n", "videos.csv": text}
    listing = list_folder(plant({"0.mp4": None, "1.mp4": None, "2.mp4": None} | lists))
    assert listing.unlisted == (() if "2.mp4" in str(text) else ("2.mp4",))
    assert listing.notes[1:] == ("videos.csv left out: train.csv is there",)


def test_paths_in_what_an_earlier_prepare_made_further_down_are_counted(plant):
    csv = "path,label\nset/a/1.mp4,a\nset/b/1.mp4,b\nset/videos_32g16/a/1.mp4,a\n"
    files = dict.fromkeys(["set/a/1.mp4", "set/b/1.mp4", "set/videos_32g16/a/1.mp4"])
    listing = list_folder(plant(files | {"train.csv": csv, "set/manifest/report.json": "{}"}))
    assert listing.notes[1].endswith("not looked at: 1, such as set/videos_32g16/a/1.mp4")


@pytest.mark.parametrize("name", ["videos.csv", "train.csv"])
def test_one_csv_without_splits_is_to_be_split(plant, name):
    rows = [f"{number}.mp4,{'ab'[number % 2]}" for number in range(10)]
    root = plant({f"{number}.mp4": None for number in range(10)})
    (root / name).write_text("\n".join(["path,label", *rows]))
    listing = list_folder(root, val_share=0.4)
    assert (len(listing.splits["train"]), listing.draw) == (10, Draw(0.4, 0))


def test_numbers_are_labels_where_classes_are_named(plant, by_path):
    csv = "path,label\n1.mp4,1\n2.mp4,0\n3.mp4,cat\n4.mp4,dog\n"
    root = plant(
        {f"{n}.mp4": None for n in "1234"} | {"videos.csv": csv, "classes.txt": "dog\ncat\n"}
    )
    listing = list_folder(root)
    assert listing.classes == ("dog", "cat")
    assert by_path(listing, "train") == {
        "1.mp4": "cat",
        "2.mp4": "dog",
        "3.mp4": "cat",
        "4.mp4": "dog",
    }


def test_numbers_without_names_are_refused(plant, error):
    root = plant({"1.mp4": None, "videos.csv": "path,label\n1.mp4,7\n2.mp4,8\n"})
    caught = error(root)
    assert str(caught) == (
        f"{root / 'videos.csv'}:2: label 7 is a number as all others are, "
        "and no classes.txt names the classes"
    )
    assert caught.hint == f"write {root / 'classes.txt'}, one name a line, that of label 0 first"


def test_wrong_rows_are_named_all_at_once(plant, error):
    rows = ["../x.mp4,dog,train", "/x.mp4,dog,train", ",dog,train", "1.mp4,,train"]
    rows += ["1.mp4,2,train"]
    csv = "\n".join(["path,label,split", *rows])
    root = plant({"1.mp4": None, "videos.csv": csv, "classes.txt": "dog\ncat\n"})
    where = root / "videos.csv"
    assert str(error(root)).splitlines() == [
        f"{where}:2: path must be below {root}, got '../x.mp4'",
        f"{where}:3: path must be below {root}, got '/x.mp4'",
        f"{where}:4: path must be below {root}, got ''",
        f"{where}:5: label is empty",
        f"{where}:6: label must be one of the names in classes.txt or 0 to 1, got '2'",
    ]


def test_a_split_of_another_name(plant, error):
    root = plant({"1.mp4": None, "videos.csv": "path,label,split\n1.mp4,dog,dev\n"})
    assert str(error(root)) == (
        f"{root / 'videos.csv'}:2: split must be one of train, training, val, validation, "
        "validate, valid, test, testing, got 'dev'"
    )


def test_paths_as_windows_writes_them(plant, by_path):
    csv = 'path;label\r\na\\1.mp4;a\r\n.\\b\\2.mp4;b\r\n"b\\odd;3.mp4";b\r\nb\\lit.mp4;b\r\n'
    files = {"a/1.mp4": None, "b/2.mp4": None, "b/odd;3.mp4": None, "b\\lit.mp4": None}
    listing = list_folder(plant(files | {"videos.csv": "\ufeff" + csv, "b/lit.mp4": None}))
    assert by_path(listing, "train") == {
        "a/1.mp4": "a",
        "b/2.mp4": "b",
        "b/odd;3.mp4": "b",
        "b\\lit.mp4": "b",  # a name that is there as written
    }
    assert listing.unlisted == ("b/lit.mp4",)


@pytest.mark.parametrize(
    "path", ["C:\\data\\1.mp4", "C:/data/1.mp4", "\\\\pc\\d\\1.mp4", "..\\1.mp4", "."]
)
def test_paths_of_another_place_are_named(plant, error, path):
    root = plant({"1.mp4": None, "videos.csv": f"path,label\n{path},a\n"})
    message = f"{root / 'videos.csv'}:2: path must be below {root}, got {path!r}"
    assert str(error(root)) == message


def test_a_name_may_hold_a_colon(plant, by_path):
    csv = "path,label\na:1.mp4,a\nb.mp4,b\n"
    listing = list_folder(plant({"a:1.mp4": None, "b.mp4": None, "videos.csv": csv}))
    assert by_path(listing, "train") == {"a:1.mp4": "a", "b.mp4": "b"}


def test_a_detour_is_the_same_file(plant, by_path):
    csv = "path,label\nv/a/../a/1.mp4,a\nv/./b//2.mp4,b\nv/b/2.mp4,b\n"
    listing = list_folder(plant({"v/a/1.mp4": None, "v/b/2.mp4": None, "videos.csv": csv}))
    assert by_path(listing, "train") == {"v/a/1.mp4": "a", "v/b/2.mp4": "b"}
    assert (listing.duplicates, listing.conflicts) == (("v/b/2.mp4",), {})


def test_what_a_list_names_is_a_video_whatever_its_suffix(plant, by_path):
    csv = "path,label\n1.dav,a\n2.dav,b\n"
    files = {"1.dav": None, "2.dav": None, "3.dav": None, "videos.csv": csv}
    listing = list_folder(plant(files))
    assert by_path(listing, "train") == {"1.dav": "a", "2.dav": "b"}
    assert (listing.unlisted, listing.left_out) == ((), {".dav": 1})


def test_one_file_under_two_labels_or_in_both_splits_is_a_conflict(plant, by_path):
    rows = ["1.mp4,a,train", "./1.mp4,b,train", "2.mp4,b,train", "2.mp4,b,val", "3.mp4,a,val"]
    csv = "\n".join(["path,label,split", *rows, "3.mp4,a,val"])
    root = plant({f"{n}.mp4": None for n in "123"} | {"videos.csv": csv})
    listing, where = list_folder(root), root / "videos.csv"
    assert by_path(listing, "train") == {"1.mp4": "a", "2.mp4": "b"}
    assert by_path(listing, "val") == {"3.mp4": "a"}
    assert listing.duplicates == ("./1.mp4", "2.mp4", "3.mp4")
    assert listing.conflicts == {
        "./1.mp4": f"'a' in train ({where}:2) counts, not 'b' in train ({where}:3)",
        "2.mp4": f"'b' in train ({where}:4) counts, not 'b' in val ({where}:5)",
    }


def test_a_video_listed_twice_counts_once(plant, by_path):
    csv = "path,label,split\n1.mp4,a,train\n1.mp4,b,val\n2.mp4,b,train\n3.mp4,a,val\n"
    listing = list_folder(plant({f"{n}.mp4": None for n in "123"} | {"videos.csv": csv}))
    assert listing.duplicates == ("1.mp4",)
    assert by_path(listing, "val") == {"3.mp4": "a"}


def test_a_list_of_nothing(plant, error):
    lists = {"train.csv": "path,label\n1.mp4,a\n", "val.csv": "path,label\n"}
    root = plant({"1.mp4": None, **lists})
    assert str(error(root)) == f"{root / 'val.csv'}: lists no video"


def test_only_a_list_for_validation(plant, error):
    root = plant({"1.mp4": None, "val.csv": "path,label\n1.mp4,a\n"})
    assert str(error(root)) == f"{root}: no training video found"
