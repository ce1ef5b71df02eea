import hashlib
import json
from dataclasses import replace

import pytest
import torch

from stsm_cli.cores import cpu_name
from stsm_cli.data.manifest import write_manifest
from stsm_cli.engine.identity import describe_environment, identify_data, weights_sha256
from stsm_cli.models.build import build_model
from stsm_cli.prepare.transcode import Encoding


def test_weights_are_known_by_all_their_values(recipe):
    model = build_model(recipe.model)
    before = weights_sha256(model)
    assert weights_sha256(model.to(memory_format=torch.channels_last)) == before
    model.backbone.bn1.running_mean[0] += 1e-6
    changed = weights_sha256(model)
    assert changed != before
    model.backbone.bn1.running_mean[0] = 0
    assert weights_sha256(model) == before


def test_data_in_memory_has_no_list(val_videos):
    assert identify_data(val_videos) == {
        "list_sha256": None,
        "class_hash": val_videos.manifest.class_hash,
        "num_in_lists": None,
        "decoder": "pyav",
        "reencoded": None,
    }


@pytest.mark.parametrize("encoding", [Encoding(256, gop=16), Encoding(16, gop=4, crf=30)])
def test_videos_that_were_re_encoded_are_known_as_such(val_videos, encoding):
    manifest = val_videos.manifest
    moved = tuple(replace(r, path=f"{encoding.folder}/{r.path}") for r in manifest.records)
    videos = replace(val_videos, manifest=replace(manifest, records=moved))
    assert identify_data(videos)["reencoded"] == encoding.folder


def test_data_on_disk_is_known_by_its_list_and_report(tmp_path, make_split):
    videos = make_split("val", 5, root=tmp_path)
    write_manifest(videos.manifest)
    counts = {"listed": 8, "usable": 5, "missing": 1, "corrupt": 2, "short": 0}
    report = {"splits": {"val": counts}}
    (tmp_path / "manifest" / "report.json").write_text(json.dumps(report))
    identity = identify_data(videos)
    content = (tmp_path / "manifest" / "val.csv").read_bytes()
    assert identity["list_sha256"] == hashlib.sha256(content).hexdigest()
    assert identity["num_in_lists"] == 8


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert describe_environment(torch.device("cpu"), "pyav")["commit"] is None


def test_the_processor_is_named():
    assert describe_environment(torch.device("cpu"), "pyav")["cpu"] == cpu_name()


def test_the_command_can_be_pasted(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/stsm", "train", "my own.yaml"])
    command = describe_environment(torch.device("cpu"), "pyav")["command"]
    assert command == "stsm train 'my own.yaml'"


def test_a_word_that_is_not_utf8_is_spelled_out(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/stsm", "eval", "--data", "d\udcff"])
    environment = describe_environment(torch.device("cpu"), "pyav")
    assert json.loads(json.dumps(environment, ensure_ascii=False).encode()) == environment
    assert environment["command"] == r"stsm eval --data 'd\udcff'"
