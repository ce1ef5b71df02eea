import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stsm_cli.cli.app import run
from stsm_cli.data.flow import read_fields
from stsm_cli.data.manifest import read_manifest, write_manifest
from stsm_cli.engine.lock import alone_in

TINY = ["--train", "16", "--val", "16", "--frames", "4", "--short-side", "32"]


@pytest.fixture
def tiny_set():
    assert run(["prepare", "synth", "tiny", *TINY, "--workers", "1", "-q"]) == 0


def flow(*options):
    return run(["prepare", "flow", "tiny", "--workers", "1", *options])


def test_flow_of_a_generated_set_becomes_files_and_a_table(tiny_set, tmp_path, capsys):
    assert flow() == 0
    text = capsys.readouterr().out
    assert "split  videos  with flow  without" in text
    assert "96 fields by dis, short side at most 256" in text
    assert len(list((tmp_path / "tiny" / "flow_dis").glob("*/*.mp4.mp4"))) == 32
    assert run(["prepare", "synth", "tiny", *TINY, "--workers", "1"]) == 0  # still that set


def test_the_report_is_one_object(tiny_set, capsys):
    capsys.readouterr()
    assert flow("--method", "farneback", "--short-side", "16", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["root"]) == ("stsm.flow/1", "tiny")
    assert (report["method"], report["short_side_px"]) == ("farneback", 16)
    assert report["splits"]["val"]["usable"] == 16


def test_one_method_is_computed_by_one_process(tiny_set, capsys):
    with alone_in(Path("tiny/flow_dis"), doing="computing"):
        assert flow() == 2
        assert "error: tiny/flow_dis: another process is computing it" in capsys.readouterr().err
        assert flow("--method", "farneback") == 0


def test_a_set_of_which_no_video_has_flow_is_told(tiny_set, tmp_path, capsys):
    for path in (tmp_path / "tiny" / "val").iterdir():
        path.write_text("no video")
    assert flow() == 1
    output = capsys.readouterr()
    assert "16 videos without flow in all, in manifest/flow_dis_problems.csv" in output.out
    assert "error: val: none of 16 videos has flow" in output.err


def test_without_the_extra_it_is_one_line_with_the_cure(tiny_set, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    capsys.readouterr()
    assert flow() == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: prepare flow: the package opencv-python-headless is not installed",
        "hint: pip install 'stsm[flow]'",
    ]


def test_a_folder_that_is_not_prepared_is_told(capsys):
    hint = "hint: prepare the set first, for example `stsm prepare folder tiny`"
    assert flow() == 1
    assert capsys.readouterr().err.splitlines() == ["error: tiny: no such data root", hint]
    Path("tiny").mkdir()
    assert flow() == 1
    found = ["error: tiny/manifest/classes.txt: not found", hint]
    assert capsys.readouterr().err.splitlines() == found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_is_stopped_goes_on_and_leaves_no_half_file(tiny_set, tmp_path, capsys, number):
    root = tmp_path / "tiny"
    manifest = read_manifest(root, "train")
    records = [replace(manifest.records[0], path=f"train/copy {n}.mp4") for n in range(100)]
    for record in records:
        shutil.copy(root / "train" / "00000.mp4", root / record.path)
    write_manifest(replace(manifest, records=records))
    command = [sys.executable, "-m", "stsm_cli", "prepare", "flow", "tiny", "--workers", "1"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        ledger = root / "manifest" / "ledger.jsonl"
        while not ledger.exists() or not ledger.stat().st_size:
            assert process.poll() is None
        os.killpg(process.pid, number)  # as a terminal does, workers included
        _, text = process.communicate(timeout=30)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert re.search(r"error: interrupted: \d+ of 116 videos are done", text)
        assert list(root.rglob("*.tmp")) == []
    assert not (root / "manifest" / "flow_dis.json").exists()
    found = len(ledger.read_text().splitlines())
    assert 1 <= found < 116
    for path in root.glob("flow_dis/*/*.mp4"):
        assert len(read_fields(path, None)) == 3
    assert flow() == 0
    paths = [json.loads(line)["path"] for line in ledger.read_text().splitlines()[found:]]
    assert len(paths) in (116 - found, 116 - found + 1)  # a kill may tear a line
