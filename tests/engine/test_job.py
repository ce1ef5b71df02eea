from dataclasses import replace
from pathlib import Path

import pytest

from stsm_cli.config.load import load_recipe
from stsm_cli.engine.job import Job, continued_job, new_job
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import CheckpointError, RecipeError, UsageError


@pytest.fixture
def begun(recipe, tmp_path):
    """A run folder that holds no result yet."""
    folder = RunFolder(tmp_path / "runs" / "a")
    folder.create(recipe, {"recipe": "synth/a", "data": "/data", "decoder": "pyav"}, ("x",))
    return folder


def test_a_run_goes_on_with_its_own_recipe_data_and_decoder(recipe, begun):
    job = continued_job(None, [], None, None, None)
    assert (job.name, job.recipe, job.data, job.decoder) == (
        "synth/a",
        recipe,
        Path("/data"),
        "pyav",
    )
    assert job.claim().path == Path("runs/a")


def test_data_may_have_moved_and_the_decoder_may_change(recipe, begun):
    job = continued_job(None, [], begun.path, Path("/there"), "decord")
    assert (job.data, job.decoder) == (Path("/there"), "decord")


def test_what_cannot_be_continued(recipe, begun, tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: not a run folder \(no recipe\.yaml\)"):
        continued_job(None, [], tmp_path / "nowhere", None, None)
    begun.result_file.write_text("{}")
    with pytest.raises(UsageError, match="holds no unfinished run"):
        continued_job(None, [], None, None, None)


def test_edits_without_a_recipe_are_of_the_runs_own(begun):
    same = ["optim.epochs=2", "seed=0"]  # the default recipe has more epochs
    assert continued_job(None, same, None, None, None).recipe == begun.recipe()
    with pytest.raises(CheckpointError, match=r"another recipe: seed is 0 there, 5 here$"):
        continued_job(None, ["seed=5"], begun.path, None, None)


def test_a_named_recipe_must_be_the_runs(begun):
    Path("mine.yaml").write_text(begun.recipe_file.read_text())
    assert continued_job("mine", [], None, None, None).recipe == begun.recipe()
    with pytest.raises(CheckpointError, match=r"optim\.epochs is 2 there, \d+ here"):
        continued_job("synth/tsm", [], None, None, None)
    with pytest.raises(RecipeError, match="synth/tms: no such recipe"):
        continued_job("synth/tms", [], None, None, None)


@pytest.fixture
def half_made(begun):
    """As a kill leaves it that comes before the environment is written."""
    begun.environment_file.unlink()
    return begun


@pytest.mark.parametrize("out", [None, Path("runs/a")])
def test_a_run_that_was_killed_before_it_was_recorded_is_begun_again(recipe, half_made, out):
    job = continued_job(None, [], out, Path("/data"), None)
    assert (job.name, job.recipe, job.data) == ("synth/a", recipe, Path("/data"))
    assert job.claim().path == Path("runs/a")
    Path("mine.yaml").write_text(half_made.recipe_file.read_text())
    assert continued_job("mine", ["seed=0"], out, None, None).recipe == recipe
    with pytest.raises(CheckpointError, match=r"another recipe: seed is 0 there, 5 here$"):
        continued_job(None, ["seed=5"], out, None, None)


def test_of_a_run_that_was_killed_before_it_has_a_recipe_one_is_asked_for(half_made):
    half_made.recipe_file.unlink()
    with pytest.raises(UsageError, match=r"runs/a: nothing was trained in it, and it does") as told:
        continued_job(None, [], half_made.path, None, None)
    assert told.value.hint == f"begin it with `stsm train RECIPE --out {half_made.path}`"
    job = continued_job("synth/tsm", ["seed=3"], half_made.path, None, None)
    assert (job.name, job.recipe.seed, job.folder) == ("synth/tsm", 3, job.claim())
    job = continued_job("synth/tsm", ["optim.epochs=5"], half_made.path, None, None)
    assert job.name == "synth/tsm + optim.epochs=5"
    assert any("scaled from" in note for note in job.notes)


def test_a_new_run_takes_a_free_folder_or_the_one_it_is_told(begun, tmp_path):
    loaded = load_recipe("synth/tsm")
    assert new_job(loaded, begun.path, None, None).claim().path == begun.path  # nothing is trained
    begun.checkpoint.touch()
    with pytest.raises(UsageError, match="a: exists and is not empty") as told:
        new_job(loaded, begun.path, None, None)
    resume = f"`stsm train --resume --out {begun.path}`"
    assert told.value.hint == f"continue it with {resume}, or choose another folder"
    assert new_job(loaded, tmp_path / "b", None, None).claim().path == tmp_path / "b"
    first, second = (new_job(loaded, None, None, None).claim() for _ in range(2))
    assert (first.path, second.path) == (Path("runs/synth-tsm-001"), Path("runs/synth-tsm-002"))


@pytest.mark.parametrize("data", [Path("e/d\udcff"), Path("/e/d\udcff/set"), None])
def test_a_data_folder_that_no_record_can_name_is_refused_at_once(
    recipe, tmp_path, monkeypatch, data
):
    if data is None:  # its default place, below a folder that one works in
        (tmp_path / "d\udcff").mkdir()
        monkeypatch.chdir(tmp_path / "d\udcff")
    says = "^--data /.*d\udcff.*: is not UTF-8, so the record of a run cannot name it$"
    with pytest.raises(UsageError, match=says):
        Job("a", recipe, None, data, None).check()


def test_a_run_folder_or_recipe_that_no_record_can_name_is_refused(tmp_path):
    loaded = load_recipe("synth/tsm")
    with pytest.raises(UsageError, match=r"^--out e\udcff: is not UTF-8"):
        new_job(loaded, Path("e\udcff"), None, None)
    with pytest.raises(UsageError, match=r"^recipe mine\udcff: is not UTF-8"):
        new_job(replace(loaded, name="mine\udcff"), None, None, None)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_decoder_is_refused(recipe):
    with pytest.raises(UsageError, match="--decoder: 'eyes' is not available here"):
        Job("a", recipe, None, None, "eyes").open(None)
