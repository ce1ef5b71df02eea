"""A process is killed, and everything that it has started ends; real processes, no waiting."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

END = 120  # seconds after which a process is taken for one that never ends

LOADER = """
import sys
from pathlib import Path
from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.config.schema import DataConfig, OptimConfig
from stsm_cli.config.view import View
from stsm_cli.data.loader import TrainLoader
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.videos import Videos

if __name__ == "__main__":
    records = tuple(VideoRecord(f"{i}.mp4", 0, 6, 8.0, 16, 16) for i in range(8))
    videos = Videos(Manifest(Path("nowhere"), "train", ("a",), records), 16, "pyav")
    data = {"dataset": "synth", "sampling": "uniform", "short_side_px": 16, "crop_px": 8}
    data = DataConfig(**data, synth=SynthConfig(), flip="none")
    optim = OptimConfig(lr=1.0, epochs=1, batch_size=4)
    batches = TrainLoader(videos, data, view=View(2), optim=optim, seed=0, workers=2).epoch(0)
    next(batches)
    print("ready", flush=True)
    sys.stdin.read()
"""
PREPARE = """
from stsm_cli.prepare.workers import work_apart
import signal

def work(file, alive):
    print("ready", flush=True)
    signal.pause()

if __name__ == "__main__":
    list(work_apart(work, ["a"], workers=1, deadline_seconds=600))
"""
SYNTH = """
from pathlib import Path
import os, signal
from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data import rendered_set
from stsm_cli.data.synth import SYNTH

def hang(*_):
    os.write(1, b"ready\\n")  # at once: two workers write to one pipe
    signal.pause()

rendered_set._make_video = hang
if __name__ == "__main__":
    SYNTH.make(Path("set"), SynthConfig(train=16, val=16, frames=4), workers=2)
"""
TIED = """
import os, signal, subprocess, sys
from stsm_cli.lifeline import TIED, tie

child = "from stsm_cli.lifeline import heed_tie; import signal; heed_tie();"
child += " print('ready', flush=True); signal.pause()"
with tie() as line:
    command = [sys.executable, "-c", child]
    subprocess.Popen(command, stdin=line, env=os.environ | {TIED: "1"}).wait()
"""
LAUNCH = """
import sys
from stsm_cli.engine.launch import launch

child = "from stsm_cli.lifeline import heed_tie; import os, signal; heed_tie();"
child += " print('ready', flush=True); signal.pause()"
launch([sys.executable, "-c", child], 2)
"""
# a command that waits where it reads its recipe, its run or its list
COMMAND = """
import importlib, signal, sys
from stsm_cli.__main__ import main

def wait(*arguments, **options):
    print("ready", flush=True)
    signal.pause()

setattr(importlib.import_module({module!r}), {function!r}, wait)
sys.argv = ["stsm", *{words!r}]
main()
"""


@pytest.fixture
def temporary():
    """A folder of a short name: sockets below it have at most 107 characters."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def start(tmp_path, temporary):
    """Starts a script, and waits until it, or what it has started, says `ready`."""
    started = []

    def start(script):
        (tmp_path / "script.py").write_text(script)
        process = subprocess.Popen(
            [sys.executable, "script.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"TMPDIR": str(temporary)},
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(
    "script",
    [LOADER, PREPARE, SYNTH, TIED, LAUNCH],
    ids=["read", "prepare", "synth", "tied", "launch"],
)
def test_children_end_when_their_parent_is_killed(start, temporary, script):
    process = start(script)
    process.kill()
    process.communicate(timeout=END)  # until all that hold its output have ended
    assert process.returncode == -signal.SIGKILL
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "module", "function", "name"),
    [
        (["train"], "stsm_cli.config.load", "load_recipe", "SIGTERM"),
        (["eval"], "stsm_cli.engine.trained", "trained", "SIGTERM"),
        (["predict", "a.mp4"], "stsm_cli.engine.trained", "trained", "SIGTERM"),
        (["ablate", "alpha"], "stsm_cli.analysis.ablation", "plan_sweep", "SIGTERM"),
        (["prepare", "folder", "a"], "stsm_cli.prepare.folder", "list_folder", "SIGTERM"),
        (["prepare", "folder", "a"], "stsm_cli.prepare.folder", "list_folder", "SIGINT"),
    ],
)
def test_a_command_that_is_stopped_says_so_in_one_line(start, words, module, function, name):
    process = start(COMMAND.format(words=words, module=module, function=function))
    process.send_signal(signal.Signals[name])
    _, err = process.communicate(timeout=END)
    told = {"SIGTERM": (75, b"stopped by SIGTERM\n"), "SIGINT": (130, b"interrupted\n")}
    assert (process.returncode, err) == told[name]
