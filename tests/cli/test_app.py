import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from stsm_cli import __version__
from stsm_cli.__main__ import main
from stsm_cli.cli import app, failures, output
from stsm_cli.config import load
from stsm_cli.config.load import recipe_names
from stsm_cli.config.validate import recipe_keys
from stsm_cli.engine import slurm_options
from stsm_cli.errors import DataError, TerminatedExit

HEAVY = ["torch", "torchvision", "decord", "av", "matplotlib", "fvcore", "numpy", "scipy"]


@pytest.fixture
def failing(monkeypatch):
    """Makes `stsm train` end in the given exception."""

    def fail_with(error):
        def fail(*_):
            raise error

        monkeypatch.setattr(load, "load_recipe", fail)

    return fail_with


@pytest.fixture
def home(monkeypatch, tmp_path_factory):
    """A home folder that is not the working folder."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_help_names_every_command(capsys):
    assert app.run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("prepare", "train", "eval", "ablate", "flops", "doctor", "--install-comp"):
        assert command in text


@pytest.mark.parametrize(
    "command",
    ["prepare", "train", "eval", "ablate", "flops", "doctor", "export", "inspect", "weights"],
)
def test_examples_in_help_stand_on_lines_of_their_own(capsys, command):
    assert app.run([command, "-h"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith(f"stsm {command}") for line in lines[lines.index("Examples:") :])


def commands(command, name):
    yield name, command
    for word, part in getattr(command, "commands", {}).items():
        yield from commands(part, f"{name} {word}")


COMMANDS = dict(commands(typer.main.get_command(app.app), "stsm"))


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_parse_name_what_exists_and_fit_a_terminal(name, monkeypatch):
    monkeypatch.setattr(slurm_options.shutil, "which", lambda program: program)
    lines = COMMANDS[name].help.partition("Examples:\n")[2].splitlines()
    assert lines or name in ("stsm", "stsm bench")
    for line in map(str.strip, lines):
        assert len(line) <= 76
        command, words = COMMANDS["stsm"], shlex.split(line)[1:]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context(command.name, [*words])  # a wrong option ends it
        folders = "|".join({known.partition("/")[0] for known in recipe_names()})
        recipes = {word for word in line.split() if re.match(rf"({folders})/", word)}
        assert recipes <= {*recipe_names()}
        if "--slurm" in words:
            slurm_options.parse_cluster(words[words.index("--slurm") + 1], workers=None)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.count(" ")])
def test_a_command_s_summary_is_whole_where_commands_are_listed(name):
    assert not COMMANDS[name].get_short_help_str(65).endswith("...")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["train", "--help"], ["ablate", "--help"], ["prepare", "synth", "--help"]),
        *(["doctor", "--help"], ["inspect", "--help"]),
    ],
)
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
        ("prepare s", ["scenes", "sthv2", "synth"]),
        ("prepare synth data --se", ["--seed"]),
        ("prepare folder data --train 3 --va", ["--val-share"]),
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
        (["trian"], "did you mean 'train'"),
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


def test_sigterm_ends_in_75_with_one_line(capsys, failing):
    failing(TerminatedExit())
    assert app.run(["train"]) == 75
    assert capsys.readouterr().err == "stopped by SIGTERM\n"


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


def test_ctrl_c_while_the_program_loads_is_no_traceback(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "run", interrupted)
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code, capsys.readouterr().err) == (130, "interrupted\n")


def test_ctrl_c_during_the_first_import_is_no_traceback():
    code = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'multiprocessing': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from stsm_cli.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    "arguments", [["train", "--out", "-q", "--dry-run"], ["predict", "--", "-q"]]
)
def test_a_value_that_looks_like_verbosity_is_a_value(capsys, arguments):
    app.run(arguments)
    assert output.current().verbosity == 0
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["trian"], ["error: no such command 'trian'", "hint: did you mean 'train'?"]),
        (
            ["flops", "--per-layr"],
            ["error: no such option: --per-layr", "hint: did you mean --per-layer?"],
        ),
        (
            ["flops"],
            [
                "error: missing argument 'MODEL'",
                "hint: `stsm flops --help` tells what can be given",
            ],
        ),
    ],
)
def test_a_wrong_command_line_is_told_as_all_errors_are(capsys, arguments, lines):
    assert app.run(arguments) == 2
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("predict a --top 0", "--top: must be greater than or equal to 1, got 0"),
        ("train --nproc two", "--nproc: must be a valid integer, got two"),
    ],
)
def test_a_number_out_of_range_is_told_with_its_value(capsys, words, told):
    assert app.run(words.split()) == 2
    line = capsys.readouterr().err.splitlines()[0]
    option, value = told.partition(":")[0], words.rpartition(" ")[2]
    older = line.startswith(f"error: invalid value for '{option}': ") and value in line
    assert line == f"error: {told}" or older


@pytest.mark.parametrize(
    ("option", "keys"),
    [
        ("--lr", ["optim.lr"]),
        ("--learning_rate", ["optim.lr"]),
        ("--epochs", ["optim.epochs"]),
        ("--num-epochs", ["optim.epochs"]),
        ("--batch-size", ["optim.batch_size"]),
        ("--bs", ["optim.batch_size"]),
        ("--seed", ["seed"]),
        ("--wd", ["optim.weight_decay"]),
        ("--frames", ["model.num_frames"]),
        ("--crop-px", ["data.crop_px", "test.crop_px"]),
    ],
)
def test_an_option_of_other_programs_points_to_its_key(capsys, option, keys):
    for word in (option, f"{option}=1"):
        assert app.run(["train", word]) == 2
        hint = capsys.readouterr().err.splitlines()[1]
        assert hint == f"hint: the recipe has it: {' or '.join(f'`--set {k}=VALUE`' for k in keys)}"


def test_keys_that_options_of_other_programs_point_to_exist():
    assert set(failures.ALSO_CALLED) <= set(recipe_keys())


def test_where_no_recipe_is_edited_no_key_is_pointed_to(capsys):
    assert app.run(["flops", "r50", "--lr", "1"]) == 2
    assert "--set" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--dry-run", "~/mine.yaml"],
        ["train", "--dry-run", "extending.yaml"],
        ["recipes", "show", "~/mine.yaml"],
    ],
)
def test_a_recipe_may_lie_at_home(capsys, home, arguments):
    (home / "mine.yaml").write_text("extends: synth/stsm\nmodel: {init: ~/w.safetensors}\n")
    (home / "base.yaml").write_text("extends: base/synth\nmodel: {init: ~/w.safetensors}\n")
    Path("extending.yaml").write_text("extends: ~/base.yaml\n")
    assert app.run([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["recipe"]["model"]["init"] == str(home / "w.safetensors")


def test_a_file_may_be_written_at_home(home):
    assert app.run(["recipes", "copy", "synth/stsm", "~/mine.yaml"]) == 0
    assert (home / "mine.yaml").is_file()
    assert not Path("~").exists()


@pytest.mark.parametrize("option", ["--data=~", "--out=~", "--init=~nobody-of-this-name/x"])
def test_no_folder_is_named_like_the_home_of_nobody(capsys, home, option):
    app.run(["train", option, "--dry-run"])
    assert not Path("~").exists()
    if "nobody" in option:
        told = (
            "error: ~nobody-of-this-name/x: there is no such home\nhint: for a folder of that name"
        )
        assert capsys.readouterr().err.startswith(told)


def test_a_folder_that_is_called_like_a_home_is_meant_where_it_is_there(home):
    Path("~clips").mkdir()
    Path("~").mkdir()
    for name in ("~clips", "./~clips", "~"):
        assert app._expanded(Path(name)) == Path(name)
    assert app._expanded(Path("~/x")) == home / "x"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        *((["prepare", name, "-q", ""], "ROOT") for name in ("folder", "k400", "synth", "flow")),
        (["train", "--data", ""], "--data"),
        (["train", "--out=", "--dry-run"], "--out"),
        (["predict", "a.mp4", ""], "VIDEO..."),
    ],
)
def test_an_empty_path_is_not_the_working_folder(capsys, words, named):
    assert app.run(words) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: {named}: is empty",
        "hint: perhaps a variable of the shell is not set; the working folder is `.`",
    ]
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError("Unable to allocate 5 TiB\nfor an array"), "(Unable to allocate 5 TiB)"),
        (MemoryError(), "(MemoryError)"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes\nat"),
            "(DefaultCPUAllocator: can't allocate memory: you tried 9 bytes)",
        ),
    ],
)
def test_too_little_memory_is_told_in_a_line_with_the_cure(capsys, failing, error, told):
    failing(error)
    assert app.run(["train"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"error: there is not enough memory {told}"
    assert lines[1].startswith("hint: smaller batches")


@pytest.mark.parametrize("words", ["train --data", "train --out", "eval", "predict"])
def test_a_name_that_is_too_long_is_told_in_a_line(capsys, words):
    name = "n" * 300
    assert app.run([*words.split(), name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {name}")
    assert line.endswith(": cannot be read or written (File name too long)")
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "a\nb"),
            r"a\nb: cannot be read or writ",
        ),
        (PermissionError(errno.EACCES, "Permission denied", b"a"), "a: cannot be read or written"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the output or a file cannot be written",
        ),
    ],
)
def test_a_file_that_the_system_refuses_is_told_in_a_line(capsys, failing, error, told):
    failing(error)
    assert app.run(["train"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {told}")
    assert line.endswith(f" ({error.strerror})")
    assert app.run(["train", "-vv"]) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "in fail" in text  # where it came from


def test_a_folder_that_is_closed_is_told_in_a_line(capsys, monkeypatch):
    real = Path.stat

    def closed(path, **options):
        if path.parts[0] == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", closed)
    assert app.run(["eval", "closed/run"]) == 1
    told = "error: closed/run: cannot be read or written (Permission denied)\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("error", [OSError("no 7"), OSError(errno.EBADF, "Bad file descriptor")])
def test_other_errors_of_the_system_are_bugs(capsys, failing, error):
    failing(error)
    assert app.run(["train"]) == 1
    assert "internal error: OSError: " in capsys.readouterr().err


def test_a_package_that_does_not_import_is_no_bug(capsys, failing):
    failing(ImportError("libx264.so.1: cannot open shared object file", name="av._core"))
    assert app.run(["train"]) == 1
    told = "error: a package does not import here (libx264.so.1: cannot open shared object file)\n"
    assert capsys.readouterr().err.startswith(told + "hint: `stsm doctor` ")


def test_a_module_of_ours_that_does_not_import_is_one(capsys, failing):
    failing(ModuleNotFoundError("No module named 'stsm_cli.x'", name="stsm_cli.x"))
    assert app.run(["train"]) == 1
    assert "internal error: ModuleNotFoundError: " in capsys.readouterr().err


def test_the_memory_of_a_device_is_told_like_any_other(capsys, failing):
    import torch

    failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"))
    assert app.run(["train"]) == 1
    assert "error: there is not enough memory (CUDA out of memory" in capsys.readouterr().err


def test_processes_are_started_with_the_verbosity_that_was_typed(monkeypatch):
    from stsm_cli.engine import launch

    told = []
    monkeypatch.setattr(launch, "launch", lambda words, *_, **__: told.append(words[3:]) or 0)
    assert app.run(["eval", "-v", "runs/a", "--nproc", "2", "-vv"]) == 0
    assert told == [["eval", "runs/a", "-vv"]]


def test_links_that_lead_to_themselves_are_told(capsys):
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    assert app.run(["train", "--data", "a", "--out", "run"]) == 1
    assert re.search(r"error: .*(Symlink loop|symbolic links)", capsys.readouterr().err)
