import os
import re
import unicodedata

import pytest

from stsm_cli.prepare.class_folders import TRAIN_NAMES, VAL_NAMES
from stsm_cli.prepare.folder import list_folder
from stsm_cli.prepare.listing import Draw

CLASSES = ("dog walking", "été", "跳")


def tree(prefix="", count=5, classes=CLASSES):
    return {f"{prefix}{name}/{number}.mp4": None for name in classes for number in range(count)}


def test_a_folder_for_each_class_is_to_be_split(plant, by_path):
    root = plant(tree())
    listing = list_folder(root)
    assert listing.classes == CLASSES
    assert (len(listing.splits["train"]), len(listing.splits["val"])) == (15, 0)
    assert all(path.startswith(name) for path, name in by_path(listing, "train").items())
    assert (listing.unlisted, listing.duplicates) == ((), ())
    assert listing.notes == (f"classes are the folders in {root}",)
    assert listing.draw == Draw(0.2, 0)


def test_share_and_seed_are_those_of_the_split_to_draw(plant):
    assert list_folder(plant(tree()), val_share=0.5, seed=3).draw == Draw(0.5, 3)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_is_between_0_and_1(plant, share):
    with pytest.raises(ValueError, match=re.escape(f"between 0 and 1, got {share}")):
        list_folder(plant(tree()), val_share=share)


@pytest.mark.parametrize("val", [*VAL_NAMES, "Val"])
@pytest.mark.parametrize("train", [*TRAIN_NAMES, "Train"])
def test_a_split_by_folders(plant, train, val, by_path):
    root = plant(tree(f"{train}/", 2) | tree(f"{val}/", 1))
    listing = list_folder(root)
    assert by_path(listing, "train") == {
        f"{train}/{name}/{number}.mp4": name for name in CLASSES for number in range(2)
    }
    assert by_path(listing, "val") == {f"{val}/{name}/0.mp4": name for name in CLASSES}
    assert listing.notes == (f"classes are the folders in {train}/ and {val}/",)
    assert listing.draw is None


def test_test_is_left_out_where_there_is_val(plant, by_path):
    root = plant(tree("train/") | tree("val/") | tree("test/") | {"extra/x.mp4": None})
    listing = list_folder(root)
    assert all(path.startswith("val/") for path in by_path(listing, "val"))
    assert listing.unlisted == ("extra/x.mp4",)
    assert listing.notes[-1] == "test/ left out: val/ is the validation part"


def test_a_flat_part_is_told_and_not_called_one_with_classes(plant):
    root = plant(tree("train/") | {"val/1.mp4": None, "val/2.mp4": None})
    listing = list_folder(root)
    assert listing.notes == (
        "classes are the folders in train/",
        "warning: val/ holds 2 videos in no class folder: not used",
    )
    assert (listing.unlisted, listing.draw) == (("val/1.mp4", "val/2.mp4"), Draw(0.2, 0))


def test_the_next_part_with_classes_stands_for_a_flat_one(plant, by_path):
    root = plant(tree("train/") | {"val/1.mp4": None} | tree("test/", 1) | {"testing/2.mp4": None})
    listing = list_folder(root)
    assert by_path(listing, "val") == {f"test/{name}/0.mp4": name for name in CLASSES}
    assert listing.notes == (
        "classes are the folders in train/ and test/",
        "warning: val/ holds 1 video in no class folder: not used",
        "testing/ left out: test/ is the validation part",
    )
    assert listing.unlisted == ("val/1.mp4",)


def test_a_flat_part_makes_no_class_of_the_folders_beside_it(plant, error):
    root = plant({"train/1.mp4": None, "extra/2.mp4": None} | tree("val/"))
    assert str(error(root)) == f"{root}: no training video found"


def test_what_an_earlier_prepare_made_below_is_no_class(plant):
    root = plant({f"actions/{path}": None for path in tree()})
    plant({"actions/flow_dis/1.mp4": None, "actions/videos_32g16/1.mp4": None}, root)
    plant({"actions/manifest/ledger.jsonl": ""}, root)
    assert list_folder(root).classes == CLASSES


@pytest.mark.parametrize("others", [tree(), {}])
def test_a_class_called_manifest_is_refused_at_once(plant, others, error):
    caught = error(plant(others | {"manifest/1.mp4": None, "manifest/2.mp4": None}))
    assert str(caught).endswith("the lists of stsm and holds 2 other files, such as 1.mp4")


def test_videos_among_lists_of_ours_are_told(plant):
    root = plant(tree() | {"manifest/1.mp4": None, "manifest/ledger.jsonl": ""})
    assert list_folder(root).notes[-1] == (
        "warning: manifest/ holds 1 video: not used, it is for the lists of stsm"
    )


def test_a_split_by_the_folders_of_mmaction2(plant, by_path):
    listing = list_folder(plant(tree("videos_train/") | tree("videos_val/", 1)))
    assert by_path(listing, "val") == {f"videos_val/{name}/0.mp4": name for name in CLASSES}
    assert len(by_path(listing, "train")) == 15


def test_a_part_without_a_video_is_told(plant):
    root = plant(tree("train/"))
    (root / "val" / CLASSES[0]).mkdir(parents=True)
    listing = list_folder(root)
    assert listing.draw == Draw(0.2, 0)
    assert listing.notes[-1] == f"{root / 'val'} holds no video"


def test_a_folder_and_a_link_to_it_are_two_classes_of_the_same_videos(plant):
    root = plant(tree())
    (root / "a_link").symlink_to(root / CLASSES[0])
    listing = list_folder(root)
    assert listing.classes == tuple(sorted(("a_link", *CLASSES)))
    assert {path.split("/")[0] for path in listing.copies.values()} == {"a_link"}


def test_training_folders_alone_are_to_be_split(plant):
    listing = list_folder(plant(tree("videos/train/")))
    assert (len(listing.splits["train"]), listing.draw) == (15, Draw(0.2, 0))


def test_copies_are_found_across_the_split(plant, clip_bytes):
    first, second, third = clip_bytes
    root = plant(
        {"train/a/1.mp4": first, "train/a/2.mp4": second, "train/b/3.mp4": second}
        | {"val/a/4.mp4": first, "val/b/5.mp4": third}
    )
    copies = {"train/b/3.mp4": "train/a/2.mp4", "val/a/4.mp4": "train/a/1.mp4"}
    assert list_folder(root).copies == copies


def test_a_class_may_be_called_train(plant):
    listing = list_folder(plant(tree(classes=("car", "plane", "train"))))
    assert listing.classes == ("car", "plane", "train")


def test_classes_may_lie_deeper_and_have_folders_of_their_own(plant):
    root = plant({"a/b/x/1/v.mp4": None, "a/b/x/2/v.mp4": None, "a/b/y/v.mp4": None})
    listing = list_folder(root)
    assert listing.classes == ("x", "y")
    assert listing.notes[0] == f"classes are the folders in {root / 'a/b'}"


def test_names_are_the_same_from_every_disk(plant, by_path):
    decomposed = unicodedata.normalize("NFD", "été")
    listing = list_folder(plant(tree(classes=(decomposed, "b"))))
    assert listing.classes == ("b", "été")
    assert f"{decomposed}/0.mp4" in by_path(listing, "train")


def test_hidden_files_and_videos_of_no_class(plant):
    root = plant(tree() | {"stray.mp4": None, "été/._0.mp4": b"", "été/notes.txt": ""})
    assert list_folder(root).unlisted == ("stray.mp4",)


def test_an_empty_class_folder_is_noted(plant):
    root = plant(tree() | {"zumba/readme.txt": ""})
    listing = list_folder(root)
    assert listing.classes == CLASSES
    assert listing.notes[1] == f"{root / 'zumba'} holds no video: it is not a class"


def test_a_class_folder_that_cannot_be_read_is_not_called_empty(plant, monkeypatch):
    root, look = plant(tree() | {"deep/closed/x.mp4": None}), os.scandir

    def refuse(path):
        if path == root / "deep" / "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = list_folder(root)
    assert listing.notes == (f"classes are the folders in {root}",)
    assert listing.faults == {"deep/closed": "cannot be read (Permission denied)"}


@pytest.mark.parametrize("name", ["a\nb", "a\r", " "])
def test_a_class_that_a_list_of_lines_cannot_hold(plant, name, error):
    root = plant(tree(classes=(name, "b")))
    assert str(error(root)) == f"{root}: a class name must be one line of text, got {name!r}"


def test_a_class_only_in_val(plant, error):
    root = plant(tree("train/") | tree("val/") | {"val/zumba/1.mp4": None, "val/zumba/2.mp4": None})
    assert str(error(root)) == f"{root / 'val/zumba'}: no training video has class 'zumba'"


def test_a_classes_txt_orders_the_labels(plant, by_path):
    root = plant(tree() | {"classes.txt": "跳\nspare\nété\ndog walking\n"})
    listing = list_folder(root)
    assert listing.classes == ("跳", "spare", "été", "dog walking")
    assert by_path(listing, "train") == {f"{c}/{n}.mp4": c for c in CLASSES for n in range(5)}


def test_a_classes_txt_must_have_them_all(plant, error):
    root = plant(tree() | {"classes.txt": "été\n跳\n"})
    assert str(error(root)) == f"{root / 'dog walking'}: the class list lacks class 'dog walking'"


def test_a_classes_txt_has_each_once(plant, error):
    root = plant(tree() | {"classes.txt": "été\n跳\nété\n"})
    assert str(error(root)) == f"{root / 'classes.txt'}:3: class 'été' stands there twice"


@pytest.mark.parametrize("suffix", [".wmv", ".FLV", ".3gp", ".ogv"])
def test_rarer_kinds_of_videos(plant, suffix):
    files = {f"{name}/{number}{suffix}": None for name in "ab" for number in "123"}
    assert len(list_folder(plant(files)).splits["train"]) == 6


def test_one_class_is_none(plant, error):
    caught = error(plant({"videos/1.mp4": None, "videos/2.mp4": None}))
    assert str(caught).endswith("at least two classes are needed, got 'videos'")
    assert caught.hint.startswith("accepted are CLASS/*.mp4, train/CLASS/*.mp4")


@pytest.mark.parametrize("files", [{"1.mp4": None}, tree("val/"), {"train/1.mp4": None}])
def test_nothing_to_train_on(plant, files, error):
    root = plant(files)
    caught = error(root)
    loose = "; 1 video lies in no folder of a class" if "1.mp4" in files else ""
    assert str(caught) == f"{root}: no training video found{loose}"
    assert "videos.csv, of columns path,label" in caught.hint


def test_pictures_are_no_videos(plant, error):
    root = plant({"a/img_00001.jpg": b""})
    caught = error(root)
    assert str(caught) == f"{root}: no video found"
    assert caught.hint.startswith("videos are files ending in .mp4, .webm")


def test_an_empty_folder_says_which_layouts_are_read(plant, error):
    caught = error(plant({}))
    assert str(caught).endswith(": is empty")
    assert caught.hint.startswith("accepted are CLASS/*.mp4, train/CLASS/*.mp4")
