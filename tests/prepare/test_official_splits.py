import pytest

from stsm_cli.prepare.folder import list_folder
from stsm_cli.prepare.listing import Draw

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


def test_lists_of_ucf101_may_have_backslashes_and_a_preview_is_no_video(plant, by_path):
    files = {
        "l/trainlist01.txt": "A\\v_A.avi 1\nB\\v_B.avi 2\n",
        "l/testlist01.txt": "A\\v_C.avi\n",
    }
    videos = {"A/gifs/A/v_A.gif": None, "A/v_A.mp4": None, "B/v_B.mp4": None, "A/v_C.mp4": None}
    listing = list_folder(plant(files | videos))
    assert by_path(listing, "train") == {"A/v_A.mp4": "A", "B/v_B.mp4": "B"}
    assert by_path(listing, "val") == {"A/v_C.mp4": "A"}
    assert listing.duplicates == ("A/gifs/A/v_A.gif",)


def test_ucf101_without_it(plant):
    listing = list_folder(plant(ucf101()))
    assert listing.classes == ("Archery", "YoYo")
    assert (len(listing.splits["train"]), listing.draw) == (6, Draw(0.2, 0))


@pytest.mark.parametrize("line", ["v_YoYo_g01_c01.avi 1", "/ 1", "YoYo/", "/v.avi", "a/b/c.avi 1"])
def test_wrong_lines_of_ucf101(plant, error, line):
    files = {"l/trainlist01.txt": f"{line}\n", "l/testlist01.txt": ""}
    root = plant(ucf101() | files)
    message = f"{root / 'l/trainlist01.txt'}:1: expected `Class/video.avi`, got {line!r}"
    assert str(error(root)) == message


def test_wrong_numbers_of_ucf101(plant, error):
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


def test_hmdb51_with_its_official_split(plant, by_path):
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
    assert (len(listing.splits["train"]), listing.draw) == (6, Draw(0.2, 0))


def test_wrong_lines_of_hmdb51(plant, error):
    videos, lists = hmdb51()
    path = "testTrainMulti_7030_splits/wave_test_split1.txt"
    root = plant(videos | lists | {path: "a.avi 3\nb.avi\n"})
    assert str(error(root)).splitlines() == [
        f"{root / path}:1: expected `video.avi` and 0, 1 or 2, got 'a.avi 3'",
        f"{root / path}:2: expected `video.avi` and 0, 1 or 2, got 'b.avi'",
    ]
