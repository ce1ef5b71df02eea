import re
import unicodedata

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare.folder import list_folder

CLASSES = ("dog walking", "été", "跳")


def tree(prefix="", count=5, classes=CLASSES):
    return {f"{prefix}{name}/{number}.mp4": None for name in classes for number in range(count)}


def by_path(listing, split):
    return {video.path: listing.classes[video.label] for video in listing.splits[split]}


def error(root, **options):
    with pytest.raises(DataError) as caught:
        list_folder(root, **options)
    return caught.value


def test_a_folder_for_each_class_is_split(plant):
    root = plant(tree())
    listing = list_folder(root)
    assert listing.classes == CLASSES
    assert (len(listing.splits["train"]), len(listing.splits["val"])) == (12, 3)
    assert all(path.startswith(name) for path, name in by_path(listing, "train").items())
    assert (listing.unlisted, listing.duplicates) == ((), ())
    assert listing.notes == (
        f"classes are the folders in {root}",
        "no split found: 20% of each class drawn for validation, seed 0",
    )


def test_share_and_seed_make_the_split(plant):
    root = plant(tree(count=20))
    assert len(list_folder(root, val_share=0.5).splits["val"]) == 30
    val = [list_folder(root, seed=seed).splits["val"] for seed in (0, 0, 1)]
    assert val[0] == val[1] != val[2]


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_is_between_0_and_1(plant, share):
    with pytest.raises(ValueError, match=re.escape(f"between 0 and 1, got {share}")):
        list_folder(plant(tree()), val_share=share)


@pytest.mark.parametrize("val", ["val", "validation", "valid", "test", "Val"])
def test_a_split_by_folders(plant, val):
    root = plant(tree("train/", 2) | tree(f"{val}/", 1))
    listing = list_folder(root)
    assert by_path(listing, "train") == {
        f"train/{name}/{number}.mp4": name for name in CLASSES for number in range(2)
    }
    assert by_path(listing, "val") == {f"{val}/{name}/0.mp4": name for name in CLASSES}
    assert listing.notes == (f"classes are the folders in train/ and {val}/",)


def test_test_is_left_out_where_there_is_val(plant):
    root = plant(tree("train/") | tree("val/") | tree("test/") | {"extra/x.mp4": None})
    listing = list_folder(root)
    assert all(path.startswith("val/") for path in by_path(listing, "val"))
    assert listing.unlisted == ("extra/x.mp4",)
    assert listing.notes[-1] == "test/ left out: val/ is the validation part"


def test_training_folders_alone_are_split(plant):
    listing = list_folder(plant(tree("videos/train/")))
    assert (len(listing.splits["train"]), len(listing.splits["val"])) == (12, 3)


def test_copies_are_found_by_their_content_and_leaks_told(plant, clip_bytes):
    first, second, third = clip_bytes
    longer = first + b"\0\0\0\x08free"
    root = plant(
        {"train/a/1.mp4": first, "train/a/2.mp4": second, "train/b/3.mp4": longer}
        | {"train/b/4.mp4": second, "val/a/5.mp4": first, "val/b/6.mp4": third}
        | {"val/a/empty.mp4": b"", "val/b/empty.mp4": b""}
    )
    listing = list_folder(root)
    assert listing.copies == {"train/b/4.mp4": "train/a/2.mp4", "val/a/5.mp4": "train/a/1.mp4"}
    assert listing.notes[-1] == (
        "2 videos are byte for byte the same as another; "
        "warning: 1 of them would validate what was trained on"
    )
    (root / "val/a/5.mp4").write_bytes(third)
    listing = list_folder(root)
    assert listing.copies == {"train/b/4.mp4": "train/a/2.mp4", "val/b/6.mp4": "val/a/5.mp4"}
    assert listing.notes[-1] == "2 videos are byte for byte the same as another"


def test_a_class_may_be_called_train(plant):
    listing = list_folder(plant(tree(classes=("car", "plane", "train"))))
    assert listing.classes == ("car", "plane", "train")


def test_classes_may_lie_deeper_and_have_folders_of_their_own(plant):
    root = plant({"a/b/x/1/v.mp4": None, "a/b/x/2/v.mp4": None, "a/b/y/v.mp4": None})
    listing = list_folder(root)
    assert listing.classes == ("x", "y")
    assert listing.notes[0] == f"classes are the folders in {root / 'a/b'}"


def test_names_are_the_same_from_every_disk(plant):
    decomposed = unicodedata.normalize("NFD", "été")
    listing = list_folder(plant(tree(classes=(decomposed, "b"))))
    assert listing.classes == ("b", "été")
    assert f"{decomposed}/0.mp4" in by_path(listing, "train") | by_path(listing, "val")


def test_hidden_files_and_videos_of_no_class(plant):
    root = plant(tree() | {"stray.mp4": None, "été/._0.mp4": b"", "été/notes.txt": ""})
    assert list_folder(root).unlisted == ("stray.mp4",)


def test_an_empty_class_folder_is_noted(plant):
    root = plant(tree() | {"zumba/readme.txt": ""})
    listing = list_folder(root)
    assert listing.classes == CLASSES
    assert listing.notes[1] == f"{root / 'zumba'} holds no video: it is not a class"


@pytest.mark.parametrize("name", ["a\nb", "a\r", " "])
def test_a_class_that_a_list_of_lines_cannot_hold(plant, name):
    root = plant(tree(classes=(name, "b")))
    assert str(error(root)) == f"{root}: a class name must be one line of text, got {name!r}"


def test_a_class_only_in_val(plant):
    root = plant(tree("train/") | tree("val/") | {"val/zumba/1.mp4": None, "val/zumba/2.mp4": None})
    assert str(error(root)) == f"{root / 'val/zumba'}: no training video has class 'zumba'"


def test_a_classes_txt_orders_the_labels(plant):
    root = plant(tree() | {"classes.txt": "跳\nspare\nété\ndog walking\n"})
    listing = list_folder(root)
    assert listing.classes == ("跳", "spare", "été", "dog walking")
    assert (
        by_path(listing, "val").items()
        <= {f"{c}/{n}.mp4": c for c in CLASSES for n in range(5)}.items()
    )


def test_a_classes_txt_must_have_them_all(plant):
    root = plant(tree() | {"classes.txt": "été\n跳\n"})
    assert str(error(root)) == f"{root / 'dog walking'}: the class list lacks class 'dog walking'"


def test_a_classes_txt_has_each_once(plant):
    root = plant(tree() | {"classes.txt": "été\n跳\nété\n"})
    assert str(error(root)) == f"{root / 'classes.txt'}:3: class 'été' stands there twice"


def test_csv_files(plant):
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


def test_csv_files_name_videos_whatever_the_disk_makes_of_accents(plant):
    composed, decomposed = (unicodedata.normalize(form, "é.mp4") for form in ("NFC", "NFD"))
    csv = f"path,label\n{composed},a\nb.mp4,b\nc.mp4,a\nd.mp4,b\n"
    root = plant({"train.csv": csv} | dict.fromkeys((decomposed, "b.mp4", "c.mp4", "d.mp4")))
    found = by_path(list_folder(root), "train") | by_path(list_folder(root), "val")
    assert found[decomposed] == "a"


@pytest.mark.parametrize("suffix", [".wmv", ".FLV", ".3gp", ".ogv"])
def test_rarer_kinds_of_videos(plant, suffix):
    files = {f"{name}/{number}{suffix}": None for name in "ab" for number in "123"}
    assert len(list_folder(plant(files)).splits["train"]) == 4


def test_one_csv_with_splits_and_absolute_paths(plant):
    root = plant({f"{number}.mp4": None for number in range(3)})
    rows = [f"{root / '0.mp4'},a,train", "1.mp4,b,train", "2.mp4,a,test"]
    (root / "videos.csv").write_text("\n".join(["path,label,split", *rows]))
    listing = list_folder(root)
    assert by_path(listing, "train") == {"0.mp4": "a", "1.mp4": "b"}
    assert by_path(listing, "val") == {"2.mp4": "a"}


@pytest.mark.parametrize("name", ["videos.csv", "train.csv"])
def test_one_csv_without_splits_is_split(plant, name):
    rows = [f"{number}.mp4,{'ab'[number % 2]}" for number in range(10)]
    root = plant({f"{number}.mp4": None for number in range(10)})
    (root / name).write_text("\n".join(["path,label", *rows]))
    listing = list_folder(root, val_share=0.4)
    assert (len(listing.splits["train"]), len(listing.splits["val"])) == (6, 4)


def test_numbers_are_labels_where_classes_are_named(plant):
    csv = "path,label\n1.mp4,1\n2.mp4,0\n3.mp4,cat\n4.mp4,dog\n"
    root = plant(
        {f"{n}.mp4": None for n in "1234"} | {"videos.csv": csv, "classes.txt": "dog\ncat\n"}
    )
    listing = list_folder(root)
    assert listing.classes == ("dog", "cat")
    both = by_path(listing, "train") | by_path(listing, "val")
    assert both == {"1.mp4": "cat", "2.mp4": "dog", "3.mp4": "cat", "4.mp4": "dog"}


def test_numbers_without_names_are_refused(plant):
    root = plant({"1.mp4": None, "videos.csv": "path,label\n1.mp4,7\n2.mp4,8\n"})
    caught = error(root)
    assert str(caught) == (
        f"{root / 'videos.csv'}:2: label 7 is a number as all others are, "
        "and no classes.txt names the classes"
    )
    assert caught.hint == f"write {root / 'classes.txt'}, one name a line, that of label 0 first"


def test_wrong_rows_are_named_all_at_once(plant):
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


def test_a_split_of_another_name(plant):
    root = plant({"1.mp4": None, "videos.csv": "path,label,split\n1.mp4,dog,dev\n"})
    assert str(error(root)) == (
        f"{root / 'videos.csv'}:2: split must be one of train, val, validation, valid, test, "
        "got 'dev'"
    )


def test_a_video_listed_twice_counts_once(plant):
    csv = "path,label,split\n1.mp4,a,train\n1.mp4,b,val\n2.mp4,b,train\n3.mp4,a,val\n"
    listing = list_folder(plant({f"{n}.mp4": None for n in "123"} | {"videos.csv": csv}))
    assert listing.duplicates == ("1.mp4",)
    assert by_path(listing, "val") == {"3.mp4": "a"}


UCF101 = [f"v_{name}_g{group:02}_c01" for name in ("Archery", "YoYo") for group in (1, 8, 9)]


def ucf101(suffix=".avi"):
    return {f"UCF-101/{name.split('_')[1]}/{name}{suffix}": None for name in UCF101}


def test_ucf101_with_its_official_split(plant):
    test = [name for name in UCF101 if "_g01_" in name]
    files = {
        "ucfTrainTestlist/classInd.txt": "1 YoYo\n2 Archery\n",
        "ucfTrainTestlist/trainlist01.txt": "".join(
            f"{name.split('_')[1]}/{name}.avi 1\n" for name in UCF101 if name not in test
        ),
        "ucfTrainTestlist/testlist01.txt": "".join(f"{n.split('_')[1]}/{n}.avi\r\n" for n in test),
    }
    listing = list_folder(plant(files | ucf101(".mp4")))
    assert listing.classes == ("YoYo", "Archery")
    assert [video.path for video in listing.splits["val"]] == [
        "UCF-101/Archery/v_Archery_g01_c01.mp4",
        "UCF-101/YoYo/v_YoYo_g01_c01.mp4",
    ]
    assert (len(listing.splits["train"]), listing.unlisted) == (4, ())
    assert listing.notes == (
        "split 1 of UCF101, listed by ucfTrainTestlist/trainlist01.txt "
        "and ucfTrainTestlist/testlist01.txt",
    )


def test_ucf101_without_it(plant):
    listing = list_folder(plant(ucf101()))
    assert listing.classes == ("Archery", "YoYo")
    assert (len(listing.splits["train"]), len(listing.splits["val"])) == (4, 2)
    assert any("v_X_gNN_cMM" in note for note in listing.notes)


def test_wrong_lines_of_ucf101(plant):
    files = {"l/trainlist01.txt": "v_YoYo_g01_c01.avi 1\n", "l/testlist01.txt": ""}
    root = plant(ucf101() | files)
    message = (
        f"{root / 'l/trainlist01.txt'}:1: expected `Class/video.avi`, got 'v_YoYo_g01_c01.avi 1'"
    )
    assert str(error(root)) == message


def test_wrong_numbers_of_ucf101(plant):
    lists = {"l/trainlist01.txt": "YoYo/v_YoYo_g01_c01.avi 1\n", "l/testlist01.txt": ""}
    root = plant(ucf101() | lists | {"l/classInd.txt": "1 YoYo\n3 Archery\n"})
    assert str(error(root)) == f"{root / 'l/classInd.txt'}:2: expected `2 Class`, got '3 Archery'"


def hmdb51():
    videos = {
        f"hmdb51_org/{c}/#{n}_{c}[x].avi": None for c in ("brush_hair", "wave") for n in "012"
    }
    lists = {
        f"testTrainMulti_7030_splits/{c}_test_split{s}.txt": "".join(
            f"#{n}_{c}[x].avi {(int(n) + s - 1) % 3} \n" for n in "012"
        )
        for c in ("brush_hair", "wave")
        for s in (1, 2)
    }
    return videos, lists


def test_hmdb51_with_its_official_split(plant):
    videos, lists = hmdb51()
    listing = list_folder(plant(videos | lists))
    assert listing.classes == ("brush_hair", "wave")
    assert by_path(listing, "train") == {
        f"hmdb51_org/{c}/#1_{c}[x].avi": c for c in ("brush_hair", "wave")
    }
    assert by_path(listing, "val") == {
        f"hmdb51_org/{c}/#2_{c}[x].avi": c for c in ("brush_hair", "wave")
    }
    assert (listing.unlisted, listing.duplicates) == ((), ())
    assert listing.notes == (
        "split 1 of HMDB51, listed by 2 files *_test_split1.txt",
        "videos in neither part of it: 2",
    )


def test_hmdb51_without_it(plant):
    listing = list_folder(plant(hmdb51()[0]))
    assert (len(listing.splits["train"]), len(listing.splits["val"])) == (4, 2)


def test_wrong_lines_of_hmdb51(plant):
    videos, lists = hmdb51()
    path = "testTrainMulti_7030_splits/wave_test_split1.txt"
    root = plant(videos | lists | {path: "a.avi 3\nb.avi\n"})
    assert str(error(root)).splitlines() == [
        f"{root / path}:1: expected `video.avi` and 0, 1 or 2, got 'a.avi 3'",
        f"{root / path}:2: expected `video.avi` and 0, 1 or 2, got 'b.avi'",
    ]


def test_one_class_is_none(plant):
    caught = error(plant({"videos/1.mp4": None, "videos/2.mp4": None}))
    assert str(caught).endswith("at least two classes are needed, got 'videos'")
    assert caught.hint.startswith("accepted are CLASS/*.mp4, train/CLASS/*.mp4")


@pytest.mark.parametrize("files", [{"1.mp4": None}, tree("val/"), {"train/1.mp4": None}])
def test_nothing_to_train_on(plant, files):
    root = plant(files)
    caught = error(root)
    assert str(caught) == f"{root}: no training video found"
    assert "videos.csv, of columns path,label" in caught.hint


def test_nothing_to_validate_on(plant):
    root = plant({"a/1.mp4": None, "b/1.mp4": None})
    assert str(error(root)) == f"{root}: no class has a second video to validate on"


def test_pictures_are_no_videos(plant):
    root = plant({"a/img_00001.jpg": b""})
    caught = error(root)
    assert str(caught) == f"{root}: no video found"
    assert caught.hint.startswith("videos are files ending in .mp4, .webm")


def test_only_a_list_for_validation(plant):
    root = plant({"1.mp4": None, "val.csv": "path,label\n1.mp4,a\n"})
    assert str(error(root)) == f"{root}: no training video found"
