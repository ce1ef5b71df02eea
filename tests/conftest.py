"""What every test may rely on: one thread, no colour, its own folder, seeded generators."""

import errno
import os
import random
import signal
import sys
from functools import cache
from pathlib import Path

import pytest
import typer.main

import stsm_cli
from stsm_cli.cli import output

# Before torch is imported, and for subprocesses too: these run the package that is tested here.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "NO_COLOR": "1",
    "COLUMNS": "80",
    "PYTHONPATH": str(Path(stsm_cli.__file__).parents[1]),
}
os.environ.pop("FORCE_COLOR", None)
# In the background of a shell it is ignored, and tests that press Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored behind `nohup`


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """Nothing leaks: not files, not the output's verbosity, not random numbers."""
    monkeypatch.chdir(tmp_path)
    _seed()
    output.use(output.Output())


@pytest.fixture(scope="session", autouse=True)
def _built_once():
    """Typer makes all commands anew in every call: here some thousand times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def mount_read_only(monkeypatch):
    """Makes every disk take no new file, as one that is mounted read-only: even from root."""

    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    return lambda: monkeypatch.setattr(Path, "touch", refuse)


@pytest.fixture(scope="session")
def _small_set(tmp_path_factory):
    from stsm_cli.config.generated_sets import SynthConfig
    from stsm_cli.data.synth import SYNTH

    root = tmp_path_factory.mktemp("small") / "synth"
    SYNTH.make(root, SynthConfig(train=1, val=21, frames=12, short_side_px=32), workers=1)
    return root


@pytest.fixture
def small_run(_small_set, tmp_path):
    """A finished run in `runs/small` that learned nothing, and its data set in `data/synth`."""
    import torch

    from stsm_cli.config.load import load_recipe
    from stsm_cli.data.manifest import read_manifest
    from stsm_cli.engine.runlog import RunFolder
    from stsm_cli.models.build import build_model

    edits = ["data.synth={train: 1, val: 21, frames: 12, short_side_px: 32}"]
    edits += ["model.num_frames=4", "data.short_side_px=32", "data.crop_px=28", "test.crop_px=28"]
    loaded, manifest = load_recipe("synth/stsm", edits), read_manifest(_small_set, "val")
    folder = RunFolder(tmp_path / "runs" / "small")
    about = {"recipe": loaded.name, "data": str(_small_set), "class_hash": manifest.class_hash}
    folder.create(loaded.recipe, about | {"decoder": "pyav"}, manifest.classes)
    model = build_model(loaded.recipe.model)
    torch.nn.init.normal_(model.fc.weight, std=2.0)  # as if it knew something
    torch.save({"model": model.state_dict()}, folder.checkpoint)
    folder.result_file.write_text("{}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "synth").symlink_to(_small_set)
    return folder


@pytest.fixture
def local_jobs(monkeypatch):
    """The jobs that submitit's local executor has started."""
    import submitit

    jobs, start = [], submitit.LocalExecutor._submit_command

    def started(executor, command):
        jobs.append(start(executor, command))
        return jobs[-1]

    monkeypatch.setattr(submitit.LocalExecutor, "_submit_command", started)
    yield jobs
    for job in jobs:
        job.cancel()
        job._process.wait()


def _seed():
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
