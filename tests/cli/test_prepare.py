import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import av
import numpy as np
import pytest

from stsm_cli.cli.app import run
from stsm_cli.data.manifest import read_manifest
from stsm_cli.data.motion import measure as measure_again
from stsm_cli.data.motion import motion_path
from stsm_cli.engine.lock import alone_in

GENERATED = ["synth", "scenes", "order"]
SETS = ["k400", "sthv2", "ucf101", "hmdb51", "folder", *GENERATED]
COMMANDS = [*SETS, "flow"]
EITHER = "k400, sthv2, ucf101, hmdb51, folder, synth, scenes, order or flow"


def prepare(*arguments):
    return run(["prepare", *arguments])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["k4000"], f"DATASET: must be {EITHER}, got 'k4000'"),
        (["imagenet"], f"DATASET: must be {EITHER}, got 'imagenet'"),
        (["folder", "--train", "3"], "--train: is for synth, scenes or order, not folder"),
        (["sthv2", "--seed", "3"], "--seed: is for folder or synth, not sthv2"),
        (["k400", "--val-share", "0.5"], "--val-share: is for folder, not k400"),
        (["sthv2", "--download"], "--download: is for k400, not sthv2"),
        (
            ["synth", "--quick"],
            "--quick: is for k400, sthv2, ucf101, hmdb51 or folder, not synth",
        ),
        (["folder", "--split", "2"], "--split: is for ucf101 or hmdb51, not folder"),
        (["ucf101", "--split", "4"], "--split: must be less than or equal to 3, got 4"),
        (["k400", "--base-url", "x"], "--base-url: means nothing without --download"),
        (["folder", "--gop", "8"], "--gop: means nothing without --short-side"),
        (["folder", "--short-side", "255"], "--short-side: must be an even number from 16 on, got"),
        (["k400", "--short-side", "64", "--quick"], "--quick: means nothing with --short-side"),
        (["folder", "--val-share", "1"], "--val-share: must be between 0 and 1, got 1"),
        (["sthv2", "--quality", "52"], "--quality"),
        (["k400", "--method", "dis"], "--method: is for flow, not k400"),
        (["flow", "--method", "raft"], "--method: must be dis, farneback or tvl1, got 'raft'"),
        (["flow", "--short-side", "15"], "--short-side: must be 16 or more, got 15"),
    ],
)
def test_what_cannot_be_meant_is_refused(capsys, arguments, problem):
    assert prepare(arguments[0], "set", *arguments[1:]) == 2
    assert problem in capsys.readouterr().err


def test_two_at_once_in_one_folder_are_refused(capsys, tmp_path):
    with alone_in(tmp_path, doing="preparing"):
        for name in ("k400", "sthv2", "ucf101", "hmdb51", "folder"):
            assert prepare(name, str(tmp_path)) == 2
            error, hint = capsys.readouterr().err.splitlines()
            assert error == f"error: {tmp_path}: another process is preparing it"
            assert hint == "hint: wait for its end, then run the same command again"


def test_a_folder_that_is_not_there_is_not_made(capsys, tmp_path):
    assert prepare("folder", str(tmp_path / "none")) == 1
    assert "none: no such folder" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("before", [(), ("-q",), ("--train", "9", "-vv", "--draw=1")])
def test_a_misspelt_data_set_gets_a_hint(capsys, before):
    """Nor is the folder taken for one, whose name is a data set's."""
    assert prepare(*before, "floder", "synth") == 2
    assert "hint: did you mean folder?" in capsys.readouterr().err


def test_all_options_that_are_out_of_place_are_named_at_once(capsys):
    assert prepare("folder", "set", "--train", "3", "--jobs", "2", "--preview", "x.png") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert [line.split()[1] for line in errors] == ["--jobs:", "--train:", "--preview:"]


def test_a_folder_that_is_not_there_is_named(capsys):
    assert prepare("folder", "nowhere") == 1
    assert "error: nowhere: no such folder" in capsys.readouterr().err


@pytest.fixture
def mine(tmp_path):
    """A folder of two classes, three videos each, and one that is none."""
    folder = tmp_path / "mine"
    for number in range(6):
        path = folder / "ab"[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width, stream.height = 48, 32
            for _ in range(6):
                picture = np.full((32, 48, 3), 40 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode())
    (folder / "a" / "broken.mp4").write_text("no video")
    return folder


def test_a_folder_becomes_a_manifest_and_a_table(mine, capsys):
    assert prepare("folder", "mine", "--workers", "1", "--val-share", "0.34") == 0
    text = capsys.readouterr().out
    assert "split  listed  present  usable  missing  corrupt  short" in text
    assert "a/broken.mp4: corrupt, does not open (moov atom not found)" in text
    assert "data set mine, for `--data mine`" in text
    records = [*read_manifest(mine, "train").records, *read_manifest(mine, "val").records]
    assert sorted(record.path for record in records) == [
        "a/0.mp4", "a/2.mp4", "a/4.mp4", "b/1.mp4", "b/3.mp4", "b/5.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize("option", ["--val-share", "--seed"])
def test_options_of_a_split_are_refused_where_there_is_one(mine, capsys, option):
    (mine / "train").mkdir()
    for name in "ab":
        (mine / name).rename(mine / "train" / name)
    shutil.copytree(mine / "train", mine / "val")
    assert prepare("folder", "mine", option, "0.3" if option == "--val-share" else "0") == 2
    told = "where there is a split (classes are the folders in train/ and val/)"
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {option}: means nothing {told}"
    assert not (mine / "manifest").exists()


@pytest.mark.parametrize("name", ["ucf101", "folder"])
def test_lists_of_another_hand_are_not_replaced(mine, capsys, name):
    for number, part in enumerate(("train", "test")):
        (mine / f"{part}list01.txt").write_text(f"a/{number * 2}.mp4 1\nb/{number * 2 + 1}.mp4 2\n")
    (mine / "classInd.txt").write_text("1 a\n2 b\n")
    (mine / "manifest").mkdir()
    (mine / "manifest" / "train.csv").write_text("mine")
    assert prepare(name, "mine", "--workers", "1") == 1
    assert "error: mine/manifest: is for the lists of stsm and holds" in capsys.readouterr().err
    assert [path.name for path in (mine / "manifest").iterdir()] == ["train.csv"]


@pytest.mark.parametrize("split", ["1", "2"])
def test_hmdb51_by_a_split(mine, capsys, split):
    shutil.rmtree(mine / "a", ignore_errors=True)
    (mine / "b" / "3.mp4").unlink()
    (mine / "a").mkdir()
    shutil.copy(mine / "b" / "1.mp4", mine / "a" / "#1(&).mp4")
    parts = {"1": "12", "2": "21"}[split]
    for name, files in {"a": ("#1(&)", "gone"), "b": ("1", "5")}.items():
        lines = (f"{file}.avi {part}\n" for file, part in zip(files, parts, strict=True))
        (mine / f"{name}_test_split{split}.txt").write_text("".join(lines))
    assert prepare("hmdb51", "mine", "--split", split, "--workers", "1", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["notes"][0].startswith(f"split {split} of HMDB51, listed by 2 files")
    missing = {"1": "val", "2": "train"}[split]
    assert {part: counts["missing"] for part, counts in report["splits"].items()} == {
        "train": int(missing == "train"),
        "val": int(missing == "val"),
    }
    problems = (mine / "manifest" / "problems.csv").read_text()
    assert "a/gone.avi" in problems


def test_a_root_with_spaces_is_told_as_it_is_typed(mine, capsys):
    mine.rename("my videos")
    assert prepare("folder", "my videos", "--workers", "1", "--quick") == 0
    assert "data set my videos, for `--data 'my videos'`" in capsys.readouterr().out


def test_the_report_is_one_object(mine, capsys):
    options = ["--short-side", "16", "--gop", "4", "--quality", "30", "--seed", "3", "--json"]
    assert prepare("folder", "mine", "--workers", "2", *options) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["root"] == "mine"
    assert report["transcode"]["crf"] == 30
    assert sum(counts["usable"] for counts in report["splits"].values()) == 6
    assert len(list(mine.glob("videos_16g4q30/*/*.mp4"))) == 6


def test_motion_is_measured_while_videos_are_verified(mine, capsys, monkeypatch):
    def measure(*arguments):
        raise AssertionError("decoded once more")

    monkeypatch.setattr("stsm_cli.data.motion.measure", measure)
    assert prepare("folder", "mine", "--workers", "1", "--motion") == 0
    told = "motion of 6 of 6 videos is in mine/manifest/motion.jsonl, 6 of them measured now"
    assert told in capsys.readouterr().err
    monkeypatch.undo()
    kept = [json.loads(line) for line in motion_path(mine).read_text().splitlines()]
    for entry in kept:
        curve = measure_again(mine / entry["path"], entry["frames"])
        assert base64.b64encode(curve.tobytes()).decode() == entry["motion"]
    assert '"motion"' not in (mine / "manifest" / "ledger.jsonl").read_text()


def test_motion_is_measured_of_usable_videos_and_added_to_a_set_that_is_prepared(mine, capsys):
    options = ["--workers", "1", "--short-side", "16"]
    assert prepare("folder", "mine", *options) == 0
    assert not motion_path(mine).exists()
    for added in (6, 0):
        capsys.readouterr()
        assert prepare("folder", "mine", *options, "--motion") == 0
        told = f"motion of 6 of 6 videos is in mine/manifest/motion.jsonl, {added} of them measured"
        assert f"{told} now" in capsys.readouterr().err
    measured = [json.loads(line)["path"] for line in motion_path(mine).read_text().splitlines()]
    records = [*read_manifest(mine, "train").records, *read_manifest(mine, "val").records]
    assert sorted(measured) == sorted(record.path for record in records)
    assert all(path.startswith("videos_16g16/") for path in measured)


def test_where_nothing_can_be_used_it_fails_and_still_reports(mine, capsys):
    for path in mine.glob("*/*.mp4"):
        path.write_text("broken")
    assert prepare("folder", "mine", "--workers", "1") == 1
    output = capsys.readouterr()
    assert "error: train: none of" in output.err
    assert "for `--data" not in output.out
    assert "does not open" in output.out


def test_ctrl_c_ends_it_with_what_was_found_kept(mine):
    for number in range(1000):
        shutil.copy(mine / "a" / "0.mp4", mine / "a" / f"copy {number}.mp4")
    command = [sys.executable, "-m", "stsm_cli", "prepare", "folder", "mine", "--workers", "1"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        ledger = mine / "manifest" / "ledger.jsonl"
        while not ledger.exists() or not ledger.stat().st_size:
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, workers included
        _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.search(r"error: interrupted: \d+ of 1,007 videos are done", text)
    assert "hint: run the same command again to go on from there" in text
    assert "Traceback" not in text
    found = len(ledger.read_text().splitlines())
    assert 1 <= found < 1007
    assert prepare("folder", "mine", "--workers", "1") == 0
    assert len(ledger.read_text().splitlines()) == 1007


def examples(text):
    lines = (line.strip() for line in text.splitlines())
    return [line.split()[1:] for line in lines if line.startswith("stsm prepare")]


def test_the_examples_in_the_help_are_options_that_exist(capsys):
    assert prepare("--help") == 0
    shown = examples(capsys.readouterr().out)
    assert [example[1] for example in shown] == COMMANDS
    for name in COMMANDS:
        assert prepare(name, "--help") == 0
        shown += examples(capsys.readouterr().out)
    assert len(shown) == 3 * len(COMMANDS)
    for example in shown:
        stop = ["--train", "0"] if example[1] in GENERATED else ["--short-side", "15"]
        assert run([*example, *stop]) == 2
        assert f"error: {stop[0]}: must be " in capsys.readouterr().err


def test_the_help_lists_the_data_sets_a_line_each(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert prepare("--help") == 0
    lines = capsys.readouterr().out.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


REAL = {"--quick", "--short-side", "--gop", "--quality", "--motion"}
OWN = {
    "k400": REAL | {"--download", "--base-url", "--jobs"},
    "sthv2": REAL,
    "ucf101": REAL | {"--split"},
    "hmdb51": REAL | {"--split"},
    "folder": REAL | {"--val-share", "--seed"},
    "synth": {
        *("--train", "--val", "--frames", "--short-side", "--difficulty", "--seed", "--preview"),
    },
    "scenes": {
        *("--train", "--val", "--test", "--frames", "--short-side", "--difficulty", "--size"),
        *("--motion", "--draw", "--preview"),
    },
    "order": {
        *("--train", "--val", "--test", "--frames", "--short-side", "--difficulty", "--motion"),
        *("--draw", "--preview"),
    },
    "flow": {"--method", "--short-side"},
}
ALL = {"--workers", "--json", "--quiet", "--verbose", "--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_data_set_has_its_own_options_alone(name, capsys):
    assert prepare(name, "-h") == 0
    listed = capsys.readouterr().out.split("Options:\n")[1]
    assert set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", listed, re.MULTILINE)) == OWN[name] | ALL


@pytest.mark.parametrize("name", ["k400", "sthv2", "folder"])
def test_options_may_stand_anywhere(name, capsys):
    words = ["--workers", "2", "-q", "--quick"]
    for place in range(3):
        behind = [name, "nowhere"]
        order = [*behind[:place], *words, *behind[place:]]
        assert prepare(*order) == 1
        assert "error: nowhere: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ([], ["error: missing argument 'DATASET'", "hint: `stsm prepare --help` tells what"]),
        (["-q"], ["error: missing argument 'DATASET'", "hint: `stsm prepare --help` tells what"]),
        (["k400"], ["error: missing argument 'ROOT'", "hint: `stsm prepare k400 --help` tells"]),
        (
            ["floder", "folder"],
            [
                f"error: DATASET: must be {EITHER}, got",
                "hint",
            ],
        ),
        (
            ["--quik", "folder", "x"],
            ["error: no such option: --quik", "hint: did you mean --quick or --quiet or"],
        ),
        (
            ["--", "floder", "x"],
            [f"error: DATASET: must be {EITHER}, got 'floder'", "hint: did you mean folder?"],
        ),
        (
            ["folder", "x", "--val-shar"],
            ["error: no such option: --val-shar", "hint: did you mean --val-share?"],
        ),
        (
            ["folder", "--train=3", "x"],
            ["error: --train: is for synth, scenes or order, not folder"],
        ),
    ],
)
def test_a_wrong_command_line_is_told_in_a_line_with_the_cure(capsys, arguments, lines):
    assert prepare(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for told, start in zip(captured.err.splitlines(), lines, strict=True):
        assert told.startswith(start)


def test_what_stands_behind_two_dashes_is_a_folder_whatever_its_name(capsys):
    assert prepare("folder", "--", "--train") == 1
    assert "error: --train: no such folder" in capsys.readouterr().err
