"""`stsm bench`: the shape of what it prints and keeps; never how fast anything is."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from stsm_cli.bench.record import Table
from stsm_cli.cli.app import run

ROOT = Path(__file__).parents[2]
SHIFT = ["bench", "shift", "--frames", "2", "--size", "32", "--rounds", "1"]
TINY = ["data.synth={train: 16, val: 16, frames: 8, short_side_px: 32}", "model.num_frames=2"]
TINY += ["data.short_side_px=32", "data.crop_px=28", "optim.batch_size=4"]
TRAIN = ["bench", "train", "synth/stsm", "--rounds", "1", "--workers", "0", "--device", "cpu"]
TRAIN += [word for edit in TINY for word in ("--set", edit)]


def test_a_page_of_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "S").touch()
    assert run(["bench", "page", str(tmp_path / "S")]) == 2
    assert "S: is a file, not a folder" in capsys.readouterr().err


def test_shift_prints_one_object_and_keeps_it_for_the_page(capsys):
    command = [*SHIFT, "--layout", "contiguous", "--device", "cpu", "--cpu-time", "--save", "kept"]
    assert run([*command, "--json"]) == 0
    shown = capsys.readouterr()
    printed = json.loads(shown.out)
    (kept,) = Path("kept").iterdir()
    assert json.loads(kept.read_text()) == printed
    assert f"kept as {kept}" in shown.err
    assert (printed["schema"], printed["benchmark"]) == ("stsm.bench/1", "shift")
    assert (printed["clock"], printed["rounds"]) == ("cpu", 1)
    wanted = {"compiled": False, "layouts": ["contiguous"], "frames": 2, "size_px": 32}
    assert printed["settings"] == wanted
    titles = [table["title"].partition(",")[0] for table in printed["tables"]]
    assert titles == ["forward", "training step", "16 shifts alone"]
    assert run(["bench", "page", "kept"]) == 0
    assert capsys.readouterr().out == "kept/README.md\n"
    assert "| TSN |" in Path("kept/README.md").read_text()
    assert run(["bench", "page", "kept"]) == 0
    Path("kept/README.md").write_text("# Mine\n")
    assert run(["bench", "page", "kept"]) == 2
    assert "kept/README.md: is no page of `stsm bench page`, and stays" in capsys.readouterr().err
    assert Path("kept/README.md").read_text() == "# Mine\n"


def test_another_reader_than_mmaction2_s_is_told(capsys, monkeypatch):
    monkeypatch.setattr("stsm_cli.bench.train.available_decoders", lambda: ("pyav",))
    assert run(TRAIN) == 0
    note = "no decord here: as MMAction2 trains it it is read with pyav\n"
    assert note in capsys.readouterr().out


def test_what_was_interrupted_says_so(monkeypatch):
    def measure_shift(case, *_):
        yield Table(f"forward, {case.layout}", {"TSN": {"ms": 1.0}})
        raise KeyboardInterrupt

    monkeypatch.setattr("stsm_cli.bench.shift.measure_shift", measure_shift)
    assert run([*SHIFT, "--device", "cpu", "--save", "kept"]) == 130
    assert run(["bench", "page", "kept"]) == 0
    page = Path("kept/README.md").read_text()
    assert page.count("forward, ") == 1
    assert page.endswith("\nstopped before its end: tables may be missing.\n")


def test_train_prints_a_table_and_what_it_was_measured_on(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["stsm", *TRAIN])
    assert run(TRAIN) == 0
    text = capsys.readouterr().out
    for words in ("this recipe", "as MMAction2 trains it", "clips/s", "h K400", "h STHV2"):
        assert words in text
    assert "measured on 16 videos of the embedded set, in memory" in text
    assert "`stsm " in text
    assert "bf16, batch 4 in 1 part; hours" in text


def test_train_as_json(capsys):
    assert run([*TRAIN, "--set", "precision=fp32", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["benchmark"] == "train"
    assert printed["settings"]["recipe"].startswith("synth/stsm")
    (table,) = printed["tables"]
    assert {"clips_per_second", "waiting", "mb", "hours_k400"} <= set(table["rows"]["this recipe"])
    assert set(printed["units"]) == {key for row in table["rows"].values() for key in row}


def test_reading_is_in_milliseconds(capsys, monkeypatch):
    pytest.importorskip("decord")
    for module in ("drawn", "reading"):
        monkeypatch.setattr(f"stsm_cli.bench.{module}.NUM_FRAMES", 70)
    assert run(["bench", "reading", "--videos", "1", "--rounds", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["tables"]) == 2
    assert printed["units"]["ms"].startswith("milliseconds")
    assert [note.partition(":")[0] for note in printed["notes"]] == ["unprepared", "prepared"]


def test_a_frame_of_a_stream_is_beside_a_window(capsys):
    assert (
        run(["bench", "stream", "--rounds", "1", "--device", "cpu", "--save", "k", "--json"]) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    (kept,) = Path("k").iterdir()
    assert json.loads(kept.read_text()) == printed
    assert printed["settings"] == {"recipe": "order/stsm_causal"}
    (table,) = printed["tables"]
    assert list(table["rows"]) == ["a window of 8 frames", "frame by frame"]
    window, stream = table["rows"].values()
    assert set(window) == set(stream) == {"ms", "ratio_first", "mb", "mb_kept"}
    assert window["mb_kept"] == round(7 * 3 * 48 * 48 * 4 / 1e6, 4)
    assert 0 < stream["mb_kept"] < stream["mb"] < window["mb"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("stream no/such", "no/such: no such recipe"),
        ("stream order/stsm", "looks at the next frame: its dims are T+H+W, T- is causal"),
        ("shift --device gpu", "--device gpu: not available here"),
        ("shift --rounds 0", "--rounds"),
        ("shift --frames 1", "--frames"),  # batch norms need two
        ("shift --size 16", "--size"),
        ("shift --layout other", "'other'"),
        ("shift --save file/x", "--save file/x/shift.json: cannot be written ("),
        (
            "shift --save there",
            "--save there/shift.json: cannot be written (Read-only file system)",
        ),
        ("reading --device cuda", "--device cuda: videos are read by the CPU"),
        ("train", "missing argument 'RECIPE'"),
        ("train no/such", "no/such: no such recipe"),
        ("train synth/stsm --decoder eyes", "--decoder: 'eyes' is not available here"),
        ("train synth/stsm --set precision=fp16 --device cpu", "precision fp16: is for a GPU"),
        ("train k400/stsm_r50_8f --data no", "no: no such data root"),
        ("page nowhere", "nowhere: holds no measurement"),
        ("", "missing command"),
    ],
)
def test_bad_input_is_one_line(capsys, mount_read_only, words, told):
    Path("file").touch()
    mount_read_only()
    assert run(["bench", *words.split()]) in (1, 2)
    shown = capsys.readouterr()
    assert shown.out == ""
    errors = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert told in errors[0]


def test_cpu_time_is_of_a_cpu(capsys, monkeypatch):
    import torch

    monkeypatch.setattr("stsm_cli.engine.device.choose_device", lambda _: torch.device("meta"))
    assert run(["bench", "shift", "--cpu-time"]) == 2
    assert "--cpu-time: counts no time of meta" in capsys.readouterr().err


@pytest.fixture
def stub(tmp_path):
    """A `stsm` that notes its words, and fails where one of them is in FAILS."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "stsm"
    program.write_text(
        '#!/bin/sh\necho "$*" >> "$NOTES"\ncase " $* " in *" ${FAILS:-nothing} "*) exit 3;; esac\n'
    )
    program.chmod(0o755)

    def start(*words, **environment):
        notes = tmp_path / "notes"
        notes.write_text("")
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "NOTES": str(notes), **environment}
        command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done, [line.split() for line in notes.read_text().splitlines()]

    return start


@pytest.mark.skipif(os.name != "posix", reason="needs bash")
def test_the_script_for_a_gpu_asks_the_most_worthwhile_first_and_goes_on(stub, tmp_path):
    done, asked = stub(str(tmp_path / "kept"), FAILS="train")
    assert done.returncode == 1
    assert [words[1] for words in asked] == [
        *("shift", "train", "shift", "train", "train", "shift", "reading", "page")
    ]
    assert done.stdout.count("ended with 3: stsm bench train") == 3
    for words in asked[:6]:
        assert words[-4:] == ["--device", "cuda", "--save", str(tmp_path / "kept")]
    for recipe in (words[2] for words in asked if words[1] == "train"):
        assert (ROOT / "recipes" / f"{recipe}.yaml").is_file()


@pytest.mark.skipif(os.name != "posix", reason="needs bash")
def test_the_script_leaves_out_what_does_not_fit(stub, tmp_path):
    done, asked = stub(str(tmp_path / "kept"), SECONDS_IN_ALL="10")
    assert done.returncode == 0
    assert [words[1] for words in asked] == ["page"]
    assert done.stdout.count("left out") == 7


@pytest.mark.skipif(os.name != "posix", reason="needs bash")
def test_its_rehearsal_is_small_and_on_a_cpu(stub, tmp_path):
    done, asked = stub("--rehearse", str(tmp_path / "kept"))
    assert done.returncode == 0
    assert "--compile" not in {word for words in asked for word in words}
    for words in asked[:-2]:
        assert words[words.index("--device") + 1] == "cpu"
        assert "1" in words


@pytest.mark.parametrize(("recipe", "num_hints"), [("order/stsm", 1), ("synth/i3d", 0)])
def test_a_causal_shift_is_pointed_to_where_it_would_do(capsys, recipe, num_hints):
    assert run(["bench", "stream", recipe]) == 2
    assert capsys.readouterr().err.count("hint: `--set model.shift.dims=T-+H+W`") == num_hints
