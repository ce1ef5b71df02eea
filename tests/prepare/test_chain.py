"""`stsm prepare` from downloads to manifests, as it is typed."""

import json

import pytest

from stsm_cli.cli.app import run
from stsm_cli.data.catalog import load_card
from stsm_cli.data.manifest import read_manifest


@pytest.fixture
def report(capsys):
    """Runs a command that must succeed, and gives its report."""

    def run_and_read(*arguments):
        assert run(["prepare", *arguments, "--workers", "1", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run_and_read


def test_kinetics_is_fetched_unpacked_verified_and_not_touched_again(server, cvdf, report):
    server.files.update(cvdf)
    fetch = ["k400", "k400", "--download", "--base-url", server.url, "--jobs", "2"]
    first = report(*fetch)
    counts = first["splits"]["train"]
    assert (counts["listed"], counts["usable"], counts["missing"]) == (5, 4, 1)
    assert first["splits"]["val"]["usable"] == 3
    asked = len(server.requests())
    again = report(*fetch)
    assert again["splits"] == first["splits"]
    assert len(server.requests()) == asked  # nothing is fetched twice


def test_kinetics_re_encoded_is_listed_in_its_place(server, cvdf, report, tmp_path):
    server.files.update(cvdf)
    fetch = ["k400", "k400", "--download", "--base-url", server.url, "--short-side", "16"]
    assert report(*fetch)["transcode"]["folder"] == "videos_16g16"
    for split, num_videos in (("train", 4), ("val", 3)):
        records = read_manifest(tmp_path / "k400", split).records
        assert len(records) == num_videos
        assert all(record.path.startswith("videos_16g16/") for record in records)
        assert {(record.width, record.height) for record in records} == {(16, 16)}
    assert report("k400", "k400")["splits"]["train"]["listed"] == 5  # what was made is not listed


def test_something_something_is_unpacked_and_verified(tmp_path, plant, clip_bytes, tar_gz, report):
    templates = {"Pushing something from left to right": "0", "Throwing something": "1"}
    labels = dict(zip(templates, templates.values(), strict=True))
    ids = {"train": ("1", "2", "7"), "validation": ("3", "4")}
    lists = {
        f"{name}.json": json.dumps(
            [
                {"id": i, "template": list(labels)[int(i) % 2].replace("something", "[something]")}
                for i in ids[name]
            ]
        )
        for name in ids
    }
    archive = tar_gz({f"20bn-something-something-v2/{i}.webm": clip_bytes[0] for i in "1234"})
    half = len(archive) // 2
    parts = {
        f"20bn-something-something-v2-0{i}": part
        for i, part in enumerate((archive[:half], archive[half:]))
    }
    plant({"labels.json": json.dumps(labels), **lists, **parts}, root=tmp_path / "sthv2")
    found = report("sthv2", "sthv2")
    assert found["splits"]["train"]["missing"] == 1
    assert found["splits"]["val"]["usable"] == 2
    assert [record.label for record in read_manifest(tmp_path / "sthv2", "val").records] == [1, 0]


def test_folders_with_names_like_addresses_are_prepared_from_within(
    plant, report, monkeypatch, tmp_path
):
    videos = {f"{name}/{n}.mp4": None for name in ("pose:left", "walk") for n in range(2)}
    root = plant(videos, root=tmp_path / "data:1")
    for place, name, size in ((root, ".", "16"), (tmp_path, "data:1", "24")):
        monkeypatch.chdir(place)
        for options in ([], ["--quick"], ["--short-side", size]):
            found = report("folder", name, *options)
            assert [found["splits"][split]["usable"] for split in ("train", "val")] == [2, 2]
        assert report("flow", name)["splits"]["val"]["usable"] == 2


TINY = [
    "model.weights=null",
    "data.short_side_px=32",
    "data.crop_px=32",
    "test={clips: 1, crops: 1, crop_px: 32}",
    "optim.batch_size=2",
    "optim.epochs=1",
    "optim.milestones_epochs=[]",
]


def trained(recipe, *arguments):
    """Trains a recipe of the paper in small, and tests it over three crops of its clips."""
    edits = [word for edit in TINY for word in ("--set", edit)]
    command = ["train", recipe, *edits, *arguments, "--device", "cpu", "--workers", "0"]
    assert run([*command, "--out", "run"]) == 0
    return ["eval", "run", "--crops", "3", "--device", "cpu", "--workers", "0", "--json"]


def test_kinetics_from_archives_to_an_accuracy(server, cvdf, report, capsys):
    server.files.update(cvdf)
    report("k400", "k400", "--download", "--base-url", server.url)
    test = trained("k400/stsm_r50_8f", "--data", "k400", "--set", "model.num_classes=3")
    capsys.readouterr()
    assert run([*test, "--clips", "10"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["protocol"] == "k400-10x3@32"
    assert (result["num_videos"], result["num_listed"], result["num_in_lists"]) == (3, 3, 3)
    assert len(result["list_sha256"]) == 64


def test_something_something_from_parts_to_an_accuracy(
    tmp_path, plant, clip_bytes, tar_gz, report, capsys
):
    templates = [name for pair in load_card("sthv2").mirror_pairs for name in pair]
    ids = [str(number) for number in range(len(templates))]
    clips = [
        {"id": i, "template": template.replace("something", "[something]", 1)}
        for i, template in zip(ids, templates, strict=True)
    ]
    archive = tar_gz({f"20bn-something-something-v2/{i}.webm": clip_bytes[0] for i in ids})
    lists = {
        "labels.json": json.dumps(dict(zip(templates, ids, strict=True))),
        "train.json": json.dumps(clips[:4]),
        "validation.json": json.dumps(clips[4:]),
    }
    parts = {
        "20bn-something-something-v2-00": archive[:1000],
        "20bn-something-something-v2-01": archive[1000:],
    }
    plant(lists | parts, root=tmp_path / "sthv2")
    report("sthv2", "sthv2")
    edits = ["--set", f"model.num_classes={len(ids)}"]
    test = trained("sthv2/stsm_mobilenet_v2_8f", "--data", "sthv2", *edits)
    capsys.readouterr()
    assert run([*test, "--clips", "2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["protocol"], result["num_videos"]) == ("sthv2-2x3@32", 2)
