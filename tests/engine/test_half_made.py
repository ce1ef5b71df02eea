"""A run folder whose maker was killed, or had no room, is no dead end."""

import errno
import multiprocessing
import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from stsm_cli import atomic
from stsm_cli.config.load import load_recipe
from stsm_cli.engine.job import continued_job, new_job
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import StsmError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
FILES = ("recipe.yaml", "classes.txt", "environment.json")


def killed(work):
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def failing_at(file, how):
    """`whole_file`, which fails when it writes `file`."""
    real = atomic.whole_file

    @contextmanager
    def whole_file(path):
        with real(path) as draft:
            yield draft
            if path.name == file and how == "half":
                draft.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            if path.name == file and how == "full":
                raise OSError(errno.ENOSPC, "No space left on device")
        if path.name == file:
            os.kill(os.getpid(), signal.SIGKILL)

    return whole_file


@pytest.mark.parametrize("how", ["half", "whole", "full"])
@pytest.mark.parametrize("file", FILES)
def test_a_run_that_fails_while_its_folder_is_made_is_begun_again(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, run, comparable, assert_same, file, how
):
    def begin():
        run(recipe, train_videos, val_videos, tmp_path / "runs" / "cut")

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "whole_file", failing_at(file, how))
        if how == "full":
            with pytest.raises(StsmError, match=rf"{file}: cannot be written \(No space left"):
                begin()
        else:
            killed(begin)
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    whole = tmp_path / "whole"
    named = str(whole / "recipe.yaml")
    for resume in (False, True):
        again = tmp_path / "again" / str(resume)
        shutil.copytree(tmp_path / "runs" / "cut", again)
        if resume:
            known = RunFolder(again).recipe_file.exists()
            job = continued_job(None if known else named, [], again, Path("data"), "pyav")
            assert job.name == ("tiny" if known else "recipe")
        else:
            job = new_job(load_recipe(named), again, None, None)
        run(job.recipe, train_videos, val_videos, again, resume=resume)
        assert_same(comparable(RunFolder(whole)), comparable(RunFolder(again)))
        left = {path.name for path in again.rglob("*") if path.is_file()}
        assert left == {*FILES, "metrics.jsonl", "last.pt", "best.pt", "result.json", "result.npz"}


@pytest.mark.parametrize(
    "own", ["recipe.yaml", "notes.txt", "checkpoints/last.pt", "metrics.jsonl"]
)
def test_what_is_somebodys_own_is_not_begun_again(recipe, tmp_path, own):
    folder = RunFolder(tmp_path / "run")
    (folder.path / own).parent.mkdir(parents=True)
    (folder.path / own).write_text("mine")
    assert not folder.is_untrained
    assert not folder.is_half_made


def test_a_folder_that_is_made_is_not_half_made(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert not folder.is_half_made  # it is not there
    folder.create(recipe, {}, ())
    assert folder.is_untrained
    assert not folder.is_half_made
