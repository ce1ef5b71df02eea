import re

import pytest

from stsm_cli.errors import DataError
from stsm_cli.prepare.k400 import list_k400
from stsm_cli.prepare.k400_archives import K400_URL, download_k400

ABSENT = "massage0001_000002_000012"
REPLACED = "guitar00002_000100_000110"


def tree_of(root):
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def mirror(server, cvdf):
    """The miniature of CVDF's tree behind a URL."""
    server.files = {f"k400/{path}": content for path, content in cvdf.items()}
    return f"{server.url}/k400"


def test_download_and_list(server, mirror, tmp_path):
    server.faults = {"k400/train/part_0.tar.gz": ["cut:100", "503"]}
    download_k400(tmp_path, base_url=f"{mirror}/")
    assert tree_of(tmp_path) == {
        "annotations/train.csv",
        "annotations/val.csv",
        "archives/k400_train_path.txt",
        "archives/k400_val_path.txt",
        "archives/train/part_0.tar.gz",
        "archives/train/part_1.tar.gz",
        "archives/val/part_0.tar.gz",
        "archives/replacement_for_corrupted_k400.tgz",
    }
    listing = list_k400(tmp_path)
    where = {video.name: video.path for s in ("train", "val") for video in listing.splits[s]}
    assert where.pop(ABSENT) is None
    replacement = f"replacement/replacement_for_corrupted_k400/{REPLACED}.mp4"
    assert where.pop(REPLACED) == replacement
    assert where.pop("_uitar00001_000000_000010") == "train/_uitar00001_000000_000010.mp4"
    assert where.pop("archeryval1_000003_000013") == "val/archeryval1_000003_000013.mp4"
    assert (listing.unlisted, listing.duplicates) == ((), ())
    assert listing.notes[0] == "archives unpacked: 4"


def test_all_of_it_again_reads_and_fetches_nothing(server, mirror, tmp_path):
    download_k400(tmp_path, base_url=mirror)
    first = list_k400(tmp_path)
    for archive in (tmp_path / "archives").rglob("*gz"):
        archive.unlink()
    server.log.clear()
    download_k400(tmp_path, base_url=mirror)
    again = list_k400(tmp_path)
    assert server.log == []
    assert again.splits == first.splits
    assert again.notes == first.notes[1:]


def test_one_split_alone(mirror, tmp_path):
    download_k400(tmp_path, base_url=mirror, splits=("val",))
    assert not any("train" in path for path in tree_of(tmp_path))
    listing = list_k400(tmp_path)
    assert (len(listing.splits["train"]), len(listing.splits["val"])) == (0, 3)


def test_urls_elsewhere_are_taken_as_they_are(server, mirror, tmp_path):
    server.files["other/part_7.tar.gz"] = server.files["k400/val/part_0.tar.gz"]
    server.files["k400/val/k400_val_path.txt"] = f"{server.url}/other/part_7.tar.gz".encode()
    download_k400(tmp_path, base_url=mirror, splits=("val",))
    assert "archives/val/part_7.tar.gz" in tree_of(tmp_path)


def test_a_list_that_is_no_list(server, mirror, tmp_path):
    lines = [
        f"{K400_URL}/val/part_0.tar.gz",
        "<html>",
        f"{K400_URL}/a/part_0.tar.gz",
        "http://x/..",
    ]
    server.files["k400/val/k400_val_path.txt"] = "\n".join(lines).encode()
    with pytest.raises(DataError) as caught:
        download_k400(tmp_path, base_url=mirror, splits=("val",))
    path = tmp_path / "archives" / "k400_val_path.txt"
    assert str(caught.value).splitlines() == [
        f"{path}:2: expected the URL of a .tar.gz file, got '<html>'",
        f"{path}:3: part_0.tar.gz is listed twice",
        f"{path}:4: expected the URL of a .tar.gz file, got 'http://x/..'",
    ]
    assert caught.value.hint == f"delete {path} and download again"


def test_an_empty_list(server, mirror, tmp_path):
    server.files["k400/val/k400_val_path.txt"] = b"\n"
    with pytest.raises(DataError, match=re.escape("k400_val_path.txt: lists no URL")):
        download_k400(tmp_path, base_url=mirror, splits=("val",))


def test_an_archive_that_is_not_there(server, mirror, tmp_path):
    del server.files["k400/train/part_1.tar.gz"]
    message = f"{mirror}/train/part_1.tar.gz: the server answers 404"
    with pytest.raises(DataError, match=re.escape(message)):
        download_k400(tmp_path, base_url=mirror)


@pytest.mark.parametrize(
    "places",
    [
        {"train": "k400_targz/train", "val": "k400_targz/val", "": "k400_targz/replacement"},
        {"train": "archives/k400_train", "val": "archives/k400_val", "": "archives"},
    ],
)
def test_archives_wherever_they_lie(plant, cvdf, places):
    files = {}
    for path, content in cvdf.items():
        split, _, name = path.rpartition("/")
        files[f"{places.get(split, 'annotations')}/{name}"] = content
    root = plant(files)
    listing = list_k400(root)
    assert sum(v.path is None for split in listing.splits.values() for v in split) == 1
    assert "train/_uitar00001_000000_000010.mp4" in tree_of(root)
    assert f"replacement/replacement_for_corrupted_k400/{REPLACED}.mp4" in tree_of(root)


def test_archives_of_no_known_split_go_into_videos(plant, cvdf, k400_csv):
    root = plant({"part_3.tar.gz": cvdf["val/part_0.tar.gz"], "val.csv": k400_csv("val")})
    assert list_k400(root).splits["val"][0].path == "videos/archeryval1_000003_000013.mp4"


def test_archives_of_the_test_split_stay_closed(plant, cvdf, k400_csv):
    files = {f"{split}/part_0.tar.gz": cvdf["val/part_0.tar.gz"] for split in ("val", "test")}
    root = plant(files | {"val.csv": k400_csv("val")})
    assert list_k400(root).notes[0] == "archives unpacked: 1"
    assert not list((root / "test").rglob("*.mp4"))


def test_clips_that_others_unpacked_are_not_written_again(plant, cvdf, k400_csv):
    files = {"archives/val/part_0.tar.gz": cvdf["val/part_0.tar.gz"], "val.csv": k400_csv("val")}
    root = plant(files | {"mine/archeryval1_000003_000013.mp4": b"resized by me"})
    listing = list_k400(root)
    assert listing.splits["val"][0].path == "mine/archeryval1_000003_000013.mp4"
    assert listing.duplicates == ()


def test_a_truncated_archive_is_named(plant, cvdf, k400_csv):
    content = cvdf["val/part_0.tar.gz"][:-20]
    root = plant({"archives/val/part_0.tar.gz": content, "val.csv": k400_csv("val")})
    message = f"{root / 'archives/val/part_0.tar.gz'}: ends too early"
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        list_k400(root)
    assert caught.value.hint == "delete it and download it again"
