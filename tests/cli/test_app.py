import os
import subprocess
import sys

import pytest

from stsm_cli import __version__
from stsm_cli.__main__ import main
from stsm_cli.cli import app, output
from stsm_cli.config import load
from stsm_cli.errors import DataError

HEAVY = ["torch", "torchvision", "decord", "av", "matplotlib", "fvcore", "numpy", "scipy"]


@pytest.fixture
def failing(monkeypatch):
    """Makes `stsm train` end in the given exception."""

    def fail_with(error):
        def fail(*_):
            raise error

        monkeypatch.setattr(load, "load_recipe", fail)

    return fail_with


def test_help_names_every_command(capsys):
    assert app.run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("prepare", "train", "eval", "ablate", "flops", "--install-completion"):
        assert command in text


@pytest.mark.parametrize("command", ["prepare", "train", "eval", "ablate", "flops"])
def test_examples_in_help_stand_on_lines_of_their_own(capsys, command):
    assert app.run([command, "-h"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith(f"stsm {command}") for line in lines[lines.index("Examples:") :])


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["ablate", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from stsm_cli.cli.app import run\n"
        f"code = run({arguments})\n"
        f"found = [name for name in {HEAVY} if name in sys.modules]\n"
        "sys.exit(f'imported {found}' if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ablate back", ["backbones-k400", "backbones-sthv2"]),
        ("train synth/ts", ["synth/tsm", "synth/tsn"]),
        ("recipes copy synth/ts", ["synth/tsm", "synth/tsn"]),
        ("flops r5", ["r50", "r50-nl"]),
        ("prepare s", ["sthv2", "synth"]),
    ],
)
def test_a_shell_completes_names(words, offered):
    environment = {
        **os.environ,
        "_STSM_COMPLETE": "complete_bash",
        "COMP_WORDS": f"stsm {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    command = [sys.executable, "-c", "from stsm_cli.cli.app import app; app(prog_name='stsm')"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert sorted(done.stdout.split()) == offered, done.stderr


def test_version(capsys):
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"stsm {__version__}\n"


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "stsm_cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"stsm {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train", "--resum"], "--resume"),
        (["train", "--workers", "-1"], "--workers"),
    ],
)
def test_a_wrong_command_line_ends_in_2_with_the_cure(capsys, arguments, told):
    assert app.run(arguments) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_wrong_recipe_ends_in_2(capsys):
    assert app.run(["train", "synth/stms"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: synth/stms: no such recipe\nhint: did you mean")
    assert captured.out == ""


def test_an_error_ends_in_its_own_exit_code(capsys, failing):
    failing(DataError("val.csv:7: label 17 is not a class", hint="prepare again"))
    assert app.run(["train"]) == 1
    expected = "error: val.csv:7: label 17 is not a class\nhint: prepare again\n"
    assert capsys.readouterr().err == expected


def test_ctrl_c_ends_in_130_with_one_line(capsys, failing):
    failing(KeyboardInterrupt())
    assert app.run(["train"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize(("options", "traced"), [([], False), (["-v"], False), (["-vv"], True)])
def test_a_bug_is_one_line_and_a_traceback_with_vv(capsys, failing, options, traced):
    failing(RuntimeError("no 7"))
    assert app.run(["train", *options]) == 1
    text = capsys.readouterr().err
    assert "internal error: RuntimeError: no 7\n" in text
    assert ("Traceback" in text) is traced
    assert ("with -vv" in text) is not traced


def test_a_terminal_without_greek_letters_shows_them_in_numbers():
    command = [sys.executable, "-m", "stsm_cli", "recipes", "show", "synth/stsm"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u03b1" in done.stdout


def test_a_closed_pipe_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "stsm_cli", "train", "--dry-run"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "verbosity"),
    [
        (["train", "--dry-run"], 0),
        (["-q", "train", "--dry-run"], -1),
        (["train", "--dry-run", "-q"], -1),
        (["train", "-v", "--dry-run", "-v"], 2),
        (["train", "--dry-run", "-vv"], 2),
    ],
)
def test_verbosity_may_stand_anywhere(arguments, verbosity):
    assert app.run(arguments) == 0
    assert output.current().verbosity == verbosity


def test_ctrl_c_while_the_program_loads_is_no_traceback(monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "run", interrupted)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
