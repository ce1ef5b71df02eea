"""`stsm prepare` from downloads to manifests, as it is typed."""

import json

import pytest

from stsm_cli.cli.app import run
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
