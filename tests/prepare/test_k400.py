import os
import re

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare.k400 import list_k400
from stsm_cli.prepare.k400_lists import youtube_id

CLASSES = ("archery", "massaging person's head", "playing guitar")
TRAIN = {  # name: label
    "aaaaaaaaaaa_000001_000011": 0,
    "a-_aaaaaaa2_000010_000020": 0,
    "_uitar00001_000000_000010": 2,
    "guitar00002_000100_000110": 2,
    "massage0001_000002_000012": 1,
}
VAL = {
    "archeryval1_000003_000013": 0,
    "guitarval01_000004_000014": 2,
    "massageval1_000005_000015": 1,
}


@pytest.fixture
def annotations(k400_csv):
    return {f"annotations/{split}.csv": k400_csv(split) for split in ("train", "val")}


def labels(listing, split):
    return {video.name: video.label for video in listing.splits[split]}


def paths(listing, split):
    return {video.name: video.path for video in listing.splits[split]}


def underscored(label):
    return CLASSES[label].replace(" ", "_")


def error(root):
    with pytest.raises(DataError) as caught:
        list_k400(root)
    return caught.value


def test_a_flat_folder_with_annotations(plant, annotations):
    listing = list_k400(plant(annotations | {f"clips/{name}.mp4": None for name in TRAIN | VAL}))
    assert listing.classes == CLASSES
    assert (labels(listing, "train"), labels(listing, "val")) == (TRAIN, VAL)
    assert paths(listing, "train") == {name: f"clips/{name}.mp4" for name in TRAIN}
    assert (listing.unlisted, listing.duplicates) == ((), ())
    assert listing.notes == (
        "clips listed by annotations/train.csv and annotations/val.csv",
        "3 of 400 classes: labels are not those of the full set",
    )


@pytest.mark.parametrize("folder", ["{split}", "videos_{split}", "videos/{split}"])
@pytest.mark.parametrize("name_class", [underscored, CLASSES.__getitem__])
@pytest.mark.parametrize("with_lists", [False, True])
def test_a_folder_for_each_class(plant, annotations, folder, name_class, with_lists):
    files = annotations if with_lists else {}
    for split, clips in (("train", TRAIN), ("val", VAL)):
        below = folder.format(split=split)
        files |= {f"{below}/{name_class(label)}/{clip}.mp4": None for clip, label in clips.items()}
    listing = list_k400(plant(files))
    assert listing.classes == CLASSES
    assert (labels(listing, "train"), labels(listing, "val")) == (TRAIN, VAL)
    assert None not in paths(listing, "train").values()
    source = "clips listed by" if with_lists else "no lists found: a clip's class and split are"
    assert listing.notes[0].startswith(source)


def mmaction2(clips, suffix=".mp4", frames=""):
    rows = (f"{underscored(label)}/{name}{suffix}{frames} {label}" for name, label in clips.items())
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("name", "suffix", "frames"),
    [
        ("kinetics400_{}_list_videos.txt", ".mp4", ""),
        ("lists/kinetics400_{}_list_rawframes.txt", "", " 250"),
        ("{}_videofolder.txt", "", " 250"),
    ],
)
def test_the_lists_of_the_peers(plant, name, suffix, frames):
    files = {
        name.format("train"): mmaction2(TRAIN, suffix, frames),
        name.format("val"): mmaction2(VAL, suffix, frames),
    }
    listing = list_k400(plant(files | {f"clips/{clip}.mp4": None for clip in TRAIN | VAL}))
    assert listing.classes == CLASSES
    assert (labels(listing, "train"), labels(listing, "val")) == (TRAIN, VAL)
    assert None not in {**paths(listing, "train"), **paths(listing, "val")}.values()


@pytest.fixture
def full(monkeypatch):
    """A full set has five classes."""
    monkeypatch.setattr("stsm_cli.prepare.k400_lists.NUM_CLASSES", 5)


SKIING = ("skiing (not slalom or crosscountry)", "skiing crosscountry", "skiing slalom")
FULL = ("massaging person's head", "petting cat", *SKIING)


def by_mit(name):
    return name.replace(" ", "_").translate(str.maketrans("", "", "()'"))


def test_mit_s_own_lists(plant, full):
    """Without marks in names of classes, and of a clip's times the first alone."""
    rows = [
        f"{by_mit(name)}/number{label:05}_{label} 250 {label}" for label, name in enumerate(FULL)
    ]
    files = {f"{label}/number{label:05}_{label:06}_{label + 10:06}.mp4": None for label in range(5)}
    other = {"1/number00001_000042_000052.mp4": None}
    listing = list_k400(plant(files | other | {"train_videofolder.txt": "\n".join(rows)}))
    assert listing.classes == FULL
    assert labels(listing, "train") == {f"number{label:05}_{label}": label for label in range(5)}
    assert list(paths(listing, "train").values()) == list(files)
    assert listing.unlisted == tuple(other)


def test_folders_that_are_named_as_mit_does(plant, full):
    files = {
        f"train/{by_mit(name)}/number{label:05}_000001_000011.mp4": None
        for label, name in enumerate(FULL)
    }
    listing = list_k400(plant(files))
    assert listing.classes == FULL
    found = labels(listing, "train")
    assert found == {f"number{label:05}_000001_000011": label for label in range(5)}


def test_a_part_of_the_classes_keeps_its_names(plant):
    rows = ["skiing_crosscountry/number00000_0 9 0", f"{by_mit(SKIING[0])}/number00001_1 9 1"]
    files = {f"number{label:05}_{label:06}_{label + 10:06}.mp4": None for label in range(2)}
    listing = list_k400(plant(files | {"train_videofolder.txt": "\n".join(rows)}))
    assert listing.classes == ("skiing crosscountry", "skiing not slalom or crosscountry")
    assert list(paths(listing, "train").values()) == list(files)


def test_a_clip_that_ends_elsewhere_is_another(plant):
    row = "archery/number00000_000001_000011 9 0\nzumba/number00001_000001_000011 9 1"
    there = {"number00000_000001_000006.mp4": None, "number00001_000001_000011.mp4": None}
    listing = list_k400(plant(there | {"train_videofolder.txt": row}))
    assert list(paths(listing, "train").values()) == [None, "number00001_000001_000011.mp4"]
    assert "another part of the same YouTube video is there: 1" in "".join(listing.notes)


def test_labels_of_a_list_must_be_ranks(plant):
    content = "archery/aaaaaaaaaaa_000001_000011.mp4 0\nzumba/bbbbbbbbbbb_000001_000011.mp4 399\n"
    root = plant({"kinetics400_train_list_videos.txt": content, "x.mp4": None})
    assert str(error(root)) == (
        f"{root / 'kinetics400_train_list_videos.txt'}:2: label of 'zumba' must be 1, "
        "its rank among the sorted classes, got 399"
    )


def test_a_list_of_extracted_frames_is_refused(plant):
    content = mmaction2(TRAIN, "", " 250")
    root = plant({"train_videofolder.txt": content, "frames/img_00001.jpg": "", "x.mp4": None})
    caught = error(root)
    assert str(caught) == (
        f"{root / 'train_videofolder.txt'}:1: lists extracted frames "
        f"('archery/aaaaaaaaaaa_000001_000011'), and no video of such a name is below {root}"
    )
    assert caught.hint.startswith("videos are read, not pictures")


def test_a_list_without_classes_is_refused(plant):
    root = plant({"kinetics400_val_list_videos.txt": "a.mp4 0\nb.mp4 1\n", "a.mp4": None})
    assert str(error(root)).splitlines() == [
        f"{root / 'kinetics400_val_list_videos.txt'}:1: expected `class/clip`, got 'a.mp4'",
        f"{root / 'kinetics400_val_list_videos.txt'}:2: expected `class/clip`, got 'b.mp4'",
    ]


def test_missing_unlisted_and_duplicate_clips(plant, annotations):
    files = annotations | {f"a/{name}.mp4": None for name in [*TRAIN, *VAL][1:]}
    extra = ["a/zzzzzzzzzzz_000000_000010.mp4", "b/archeryval1_000003_000013.mp4", "b/own.webm"]
    root = plant(files | dict.fromkeys(extra))
    listing = list_k400(root)
    assert listing.splits["train"][0].path is None
    assert listing.unlisted == (extra[0], extra[2])
    assert listing.duplicates == (extra[1],)
    assert paths(listing, "val")["archeryval1_000003_000013"].startswith("a/")


def test_links_into_class_folders_are_no_duplicates(plant, annotations):
    root = plant(annotations | {f"val/{name}.mp4": None for name in VAL})
    (root / "videos" / "val" / "archery").mkdir(parents=True)
    link = root / "videos" / "val" / "archery" / "archeryval1_000003_000013.mp4"
    link.symlink_to(root / "val" / link.name)
    listing = list_k400(root)
    assert (listing.duplicates, listing.unlisted) == ((), ())


def test_a_clip_listed_twice_counts_once(plant, annotations):
    annotations["annotations/val.csv"] += '"archery",aaaaaaaaaaa,1,11,val\n'
    listing = list_k400(plant(annotations | {f"{name}.mp4": None for name in TRAIN | VAL}))
    assert labels(listing, "val") == VAL
    assert listing.duplicates == ("aaaaaaaaaaa_000001_000011",)


def test_a_file_may_be_called_by_the_id_alone(plant, annotations):
    root = plant(annotations | {"_uitar00001.mp4": None})
    assert paths(list_k400(root), "train")["_uitar00001_000000_000010"] == "_uitar00001.mp4"


@pytest.mark.parametrize("style", ["{id}_{start}_{end}", "{id}_{start:06d}", "{id}_{start}"])
def test_seconds_may_be_written_otherwise(plant, annotations, style):
    def named(name):
        start, end = map(int, name[12:].split("_"))
        return style.format(id=name[:11], start=start, end=end)

    files = {name: f"clips/{named(name)}.mp4" for name in TRAIN | VAL}
    listing = list_k400(plant(annotations | dict.fromkeys(files.values())))
    assert paths(listing, "train") | paths(listing, "val") == files
    assert listing.unlisted == ()


def test_a_file_that_says_both_ends_is_preferred(plant, annotations):
    names = ("aaaaaaaaaaa_000001", "aaaaaaaaaaa_1_11")
    listing = list_k400(plant(annotations | {f"{name}.mp4": None for name in names}))
    assert paths(listing, "train")["aaaaaaaaaaa_000001_000011"] == "aaaaaaaaaaa_1_11.mp4"


def test_replacements_beside_class_folders_are_no_class(plant):
    files = {f"train/{underscored(label)}/{name}.mp4": None for name, label in TRAIN.items()}
    replaced = "train/replacement_for_corrupted_k400/aaaaaaaaaaa_000001_000011.mp4"
    listing = list_k400(plant(files | {replaced: None}))
    assert listing.classes == CLASSES
    assert paths(listing, "train")["aaaaaaaaaaa_000001_000011"] == replaced
    assert (listing.conflicts, listing.unlisted) == ({}, ())


def test_of_a_replaced_clip_no_other_file_is_tried(plant, annotations):
    name = "aaaaaaaaaaa_000001_000011"
    places = [f"replacement/replacement_for_corrupted_k400/{name}.mp4"]
    places += [f"a/{name}.mp4", f"b/{name}.mp4"]
    listing = list_k400(plant(annotations | dict.fromkeys(places)))
    assert paths(listing, "train")[name] == places[0]
    assert listing.with_spares({places[0]}, set(places[1:])) is listing


def test_folders_of_archives_are_no_classes(plant):
    root = plant({f"train/part_{number}/{name}.mp4": None for number, name in enumerate(TRAIN)})
    caught = error(root)
    assert str(caught) == f"{root}/train/part_0: is an archive's folder, not a class"
    assert "annotations/{train,val}.csv" in caught.hint


def test_another_cut_of_the_same_video_is_not_the_clip(plant, annotations):
    names = [name for name in TRAIN | VAL if name != "archeryval1_000003_000013"]
    other = "archeryval1_000050_000060.mp4"
    listing = list_k400(plant(annotations | {f"{n}.mp4": None for n in names} | {other: None}))
    assert paths(listing, "val")["archeryval1_000003_000013"] is None
    assert listing.unlisted == (other,)
    assert listing.notes[-1] == (
        "clips that are missing, though another part of the same YouTube video is there: "
        "1, such as archeryval1_000003_000013"
    )


def test_a_replacement_counts_instead_of_the_corrupted_clip(plant, annotations):
    files = annotations | {f"train/{name}.mp4": None for name in TRAIN | VAL}
    folder = "replacement/replacement_for_corrupted_k400"
    files |= {f"{folder}/guitar00002_000099_000109.mp4": None, f"{folder}/zzzzzzzzzzz.mp4": None}
    listing = list_k400(plant(files))
    replaced = f"{folder}/guitar00002_000099_000109.mp4"
    assert paths(listing, "train")["guitar00002_000100_000110"] == replaced
    assert listing.unlisted == (f"{folder}/zzzzzzzzzzz.mp4",)
    assert listing.duplicates == ()
    assert listing.notes[-1] == "clips that come from the archive of replacements: 1"


def test_a_file_is_one_clip_s_alone(plant):
    listed = ["massage0001_000002_000012", "massage0001_000200_000210"]
    rows = "".join(f"archery,{n[:11]},{int(n[12:18])},{int(n[19:])},train\n" for n in listed)
    files = {"train.csv": "label,youtube_id,time_start,time_end,split\n" + rows}
    files |= {"replacement/replacement_for_corrupted_k400/massage0001_000002_000012.mp4": None}
    listing = list_k400(plant(files | {f"{listed[1]}.mp4": None}))
    assert paths(listing, "train") == {
        listed[0]: "replacement/replacement_for_corrupted_k400/massage0001_000002_000012.mp4",
        listed[1]: f"{listed[1]}.mp4",
    }


def test_the_test_split_is_left_out(plant, annotations):
    files = annotations | {f"{name}.mp4": None for name in TRAIN | VAL}
    listing = list_k400(plant(files | {"test/tttttttttt1_000000_000010.mp4": None}))
    assert listing.unlisted == ()
    assert listing.notes[-1] == "videos of the test split, left out: 1"


def test_validation_alone_will_do(plant, k400_csv):
    listing = list_k400(plant({"val.csv": k400_csv("val")} | {f"{n}.mp4": None for n in VAL}))
    assert listing.splits["train"] == ()
    assert (listing.classes, labels(listing, "val")) == (CLASSES, VAL)


def test_annotations_may_be_called_otherwise(plant, k400_csv):
    files = {f"ann/kinetics_{split}.csv": k400_csv(split) for split in ("train", "val")}
    root = plant(files | {"train.csv": "path label\n"} | {f"{n}.mp4": None for n in TRAIN | VAL})
    assert labels(list_k400(root), "train") == TRAIN


def test_deepmind_calls_one_of_them_validate(plant, k400_csv):
    files = {"train.csv": k400_csv("train"), "validate.csv": k400_csv("val")}
    assert labels(list_k400(plant(files | {f"{n}.mp4": None for n in TRAIN | VAL})), "val") == VAL


def test_a_pipe_called_like_a_list_is_not_waited_for(plant):
    root = plant({f"{name}.mp4": None for name in VAL})
    os.mkfifo(root / "train.csv")
    assert str(error(root)) == f"{root / 'train.csv'}: is no file"


def test_a_list_that_cannot_be_read(plant, annotations):
    root = plant(annotations | {"x.mp4": None})
    (root / "train.csv").symlink_to("nowhere")
    message = f"{root / 'train.csv'}: cannot be read (No such file or directory)"
    assert str(error(root)) == message


def test_quotes_in_class_names_are_dropped(plant):
    csv = 'label,youtube_id,time_start,time_end\n"""zumba""",aaaaaaaaaaa,1,11\n'
    root = plant({"train.csv": csv, "aaaaaaaaaaa_000001_000011.mp4": None})
    assert list_k400(root).classes == ("zumba",)


def test_wrong_rows_are_named_all_at_once(plant):
    rows = ["archery,aaaaaaaaaaa,x,11", "archery,short,1,11", ",bbbbbbbbbbb,1,11"]
    root = plant({"train.csv": "\n".join(["label,youtube_id,time_start,time_end", *rows])})
    path = root / "train.csv"
    assert str(error(root)).splitlines() == [
        f"{path}:2: times must be whole seconds, got 'x, 11'",
        f"{path}:3: needs a label and an id of 11 characters, got 'archery', 'short'",
        f"{path}:4: needs a label and an id of 11 characters, got '', 'bbbbbbbbbbb'",
    ]


def test_a_class_for_validation_only_is_an_error(plant, annotations):
    annotations["annotations/val.csv"] += "zumba,zzzzzzzzzzz,1,11,val\nzumba,yyyyyyyyyyy,1,11,val\n"
    root = plant(annotations | {"x.mp4": None})
    path = root / "annotations" / "val.csv"
    assert str(error(root)) == f"{path}:5: no training video has class 'zumba'"


def test_more_than_400_classes_are_another_edition(plant):
    rows = [f"class {number:03},id{number:09},0,10" for number in range(401)]
    csv = "\n".join(["label,youtube_id,time_start,time_end", *rows])
    caught = error(plant({"train.csv": csv, "x.mp4": None}))
    assert str(caught) == "clips listed by train.csv: Kinetics-400 has 400 classes, got 401"
    assert caught.hint == "these are of another edition of Kinetics"


def test_400_classes_need_no_note(plant):
    rows = [f"class {number:03},id{number:09},0,10" for number in range(400)]
    csv = "\n".join(["label,youtube_id,time_start,time_end", *rows])
    listing = list_k400(plant({"train.csv": csv, "id000000007_000000_000010.mp4": None}))
    assert listing.splits["train"][7].label == 7
    assert listing.notes == ("clips listed by train.csv",)


def test_nothing_of_the_kind_says_what_was_looked_for(plant):
    root = plant({"x.mp4": None, "archery/y.mp4": None})
    caught = error(root)
    assert str(caught).startswith(
        f"{root}: no list of Kinetics-400 found, looked for {{train,val}}"
    )
    assert "annotations/{train,val}.csv" in caught.hint
    assert "--download" in caught.hint


def test_lists_without_any_video(plant, annotations):
    root = plant(annotations)
    caught = error(root)
    assert str(caught) == f"{root}: no video found"
    assert caught.hint == "`--download` fetches the archives"


def test_lists_of_other_videos(plant, annotations):
    root = plant(annotations | {"x.mp4": None})
    message = f"{root}: not one of the 8 listed videos found, such as _uitar00001_000000_000010"
    assert str(error(root)) == message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a_b-c_d_e_f_000001_000011", "a_b-c_d_e_f"),
        ("abcdefghijk", "abcdefghijk"),
        ("my own clip", "my own clip"),
        ("my own video", "my own video"),
    ],
)
def test_a_clip_begins_with_its_id(name, expected):
    assert youtube_id(name) == expected


def test_errors_name_the_root_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'none'}: no such folder")):
        list_k400(tmp_path / "none")
