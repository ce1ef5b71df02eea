"""`train(..., resume=True)`: what it refuses, and what it needs."""

import dataclasses

import pytest
import torch

from stsm_cli.config.load import recipe_hash
from stsm_cli.config.run_identity import NUMERICS
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.resuming import check_class_list, left_behind
from stsm_cli.engine.runlog import RunFolder, write_json
from stsm_cli.errors import CheckpointError, DataError, InterruptedRunError


def test_resuming_a_finished_run_returns_its_result(
    recipe, train_videos, val_videos, tmp_path, run
):
    result = run(recipe, train_videos, val_videos, tmp_path / "a")
    assert run(recipe, train_videos, val_videos, tmp_path / "a", resume=True) == result


def test_without_its_checkpoint_a_run_begins_anew(
    recipe, train_videos, val_videos, tmp_path, comparable, assert_same, said, run
):
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    run(recipe, train_videos, val_videos, tmp_path / "cut")
    folder = RunFolder(tmp_path / "cut")
    folder.result_file.unlink()
    folder.checkpoint.unlink()
    run(recipe, train_videos, val_videos, folder.path, resume=True, progress=said)
    assert f"{folder.checkpoint} does not exist: from the first epoch on" in said.lines
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(folder))


def test_options_that_a_run_does_not_keep_are_in_the_hint_and_missed_without(
    recipe, train_videos, val_videos, tmp_path, stop_after, said, run
):
    """The numbers of a compiled network are others."""
    with pytest.raises(InterruptedRunError) as caught:
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=stop_after("epoch 1", 1))
    assert caught.value.hint == f"continue with `stsm train --resume --out {tmp_path}/a`"
    folder = RunFolder(tmp_path / "a")
    write_json(folder.environment_file, folder.environment() | {"compile": "inductor"})
    folder.board.mkdir()
    assert folder.resume_command.endswith("/a --compile --tensorboard`")
    run(recipe, train_videos, val_videos, tmp_path / "a", resume=True, progress=said)
    told = [line for line in said.lines if line.startswith("warning: ")]
    assert told == [
        "warning: begun with --compile, goes on without --compile: other numbers than without "
        "the break",
        f"warning: {folder.board}: its curves end here, without --tensorboard",
    ]
    assert left_behind(folder, "inductor", {}, tensorboard=True) == []
    write_json(folder.environment_file, folder.environment() | {"compile": None})
    (other,) = left_behind(folder, "inductor", {}, tensorboard=True)
    assert other.startswith("warning: begun without --compile, goes on with --compile: ")


def test_other_files_of_a_generated_set_are_a_warning(
    recipe, train_videos, val_videos, tmp_path, stop_after, said, run
):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=stop_after("epoch 1", 1))
    folder = RunFolder(tmp_path / "a")
    files = folder.environment()["files"]
    write_json(folder.environment_file, folder.environment() | {"files": files | {"val": "b"}})
    run(recipe, train_videos, val_videos, tmp_path / "a", resume=True, progress=said)
    told = [line for line in said.lines if line.startswith("warning: ")]
    assert told == [
        "warning: the videos of val are not those that the run began with, to the byte: other "
        "numbers than without the break"
    ]


def test_resume_refuses_another_recipe(recipe, train_videos, val_videos, tmp_path, run):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    other = recipe.model_copy(update={"seed": 7})
    with pytest.raises(CheckpointError, match="another recipe: seed is 0 there, 7 here"):
        run(other, train_videos, val_videos, tmp_path / "a", resume=True)


def test_resume_refuses_a_checkpoint_of_another_recipe(
    recipe, train_videos, val_videos, tmp_path, run
):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    other = recipe.model_copy(update={"seed": 7})
    run(other, train_videos, val_videos, tmp_path / "b")
    (tmp_path / "a" / "result.json").unlink()
    RunFolder(tmp_path / "b").checkpoint.replace(RunFolder(tmp_path / "a").checkpoint)
    with pytest.raises(CheckpointError, match=r"last\.pt: belongs to another recipe"):
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)


@pytest.mark.parametrize("key", ["position", "model", "optimizer", "scaler", "random"])
def test_resume_names_what_a_checkpoint_lacks(
    recipe, train_videos, val_videos, tmp_path, key, stop_after, run
):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=stop_after("epoch 1", 1))
    path = RunFolder(tmp_path / "a").checkpoint
    state = load_checkpoint(path)
    del state[key]
    torch.save(state, path)
    message = rf"last\.pt: does not continue here, another version .* \(holds no '{key}'\)"
    with pytest.raises(CheckpointError, match=message) as caught:
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)
    data = f"--data {tmp_path}/nowhere"  # not the default place
    start = f"`stsm train {tmp_path}/a/recipe.yaml --init {path} {data}` starts from its weights"
    assert caught.value.hint == ("choose another --out to begin anew" if key == "model" else start)


def test_resume_misses_the_trained_weights_of_an_average(
    regularised, train_videos, val_videos, tmp_path, stop_after, run
):
    stop = stop_after("epoch 1", 1)
    with pytest.raises(InterruptedRunError):
        run(regularised, train_videos, val_videos, tmp_path / "a", progress=stop)
    path = RunFolder(tmp_path / "a").checkpoint
    state = load_checkpoint(path)
    del state["trained"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"last\.pt: .* \(holds no 'trained'\)"):
        run(regularised, train_videos, val_videos, tmp_path / "a", resume=True)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda state: state["position"].update(extra=1), "unexpected keyword argument 'extra'"),
        (lambda state: state["model"].pop("fc.bias"), r"Error\(s\) in loading state_dict for TSN:"),
        (lambda state: state["optimizer"].update(param_groups=[]), "different number of parameter"),
    ],
)
def test_resume_tells_what_does_not_fit(
    recipe, train_videos, val_videos, tmp_path, change, what, stop_after, run
):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=stop_after("epoch 1", 1))
    path = RunFolder(tmp_path / "a").checkpoint
    state = load_checkpoint(path)
    change(state)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"does not continue here, .* \(.*{what}"):
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)


def test_a_damaged_checkpoint_hints_at_the_best_one(
    recipe, train_videos, val_videos, tmp_path, stop_after, run
):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=stop_after("epoch 2", 1))
    folder = RunFolder(tmp_path / "a")
    folder.checkpoint.write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"last\.pt: not a readable") as caught:
        run(recipe, train_videos, val_videos, folder.path, resume=True)
    assert caught.value.hint == (
        f"`stsm eval {folder.path} --best` tests the checkpoint of its best epoch, "
        f"`stsm train {folder.recipe_file} --init {folder.best_checkpoint} "
        f"--data {tmp_path}/nowhere` starts from it"
    )


def test_resume_refuses_another_class_list(recipe, train_videos, val_videos, tmp_path, run):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    manifest = train_videos.manifest
    turned = dataclasses.replace(manifest, classes=manifest.classes[::-1])
    other = dataclasses.replace(train_videos, manifest=turned)
    with pytest.raises(DataError, match=r"its class list \(\w+\) is not the one of the training"):
        run(recipe, other, val_videos, tmp_path / "a", resume=True)
    fewer = dataclasses.replace(manifest, classes=("a",))
    with pytest.raises(DataError, match=rf"\): holds 1 class, not {len(manifest.classes)}$"):
        check_class_list(RunFolder(tmp_path / "a"), fewer)
    (tmp_path / "a" / "classes.txt").unlink()  # of a run of before they were kept
    with pytest.raises(DataError, match=r"is not the one of the training \(\w+\)$"):
        run(recipe, other, val_videos, tmp_path / "a", resume=True)


def test_weights_to_start_from_are_not_needed_to_go_on(
    recipe, train_videos, val_videos, tmp_path, comparable, assert_same, stop_after, run
):
    run(recipe, train_videos, val_videos, tmp_path / "first")
    init = tmp_path / "init.pt"
    RunFolder(tmp_path / "first").checkpoint.rename(init)
    tuned = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": str(init)})})
    run(tuned, train_videos, val_videos, tmp_path / "whole")
    assert len(RunFolder(tmp_path / "whole").environment()["init_sha256"]) == 64
    with pytest.raises(InterruptedRunError):
        run(tuned, train_videos, val_videos, tmp_path / "cut", progress=stop_after("epoch 1", 3))
    init.unlink()
    run(tuned, train_videos, val_videos, tmp_path / "cut", resume=True)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(tmp_path / "cut")))


def test_one_process_may_continue_what_several_began_and_says_so(
    recipe, train_videos, val_videos, tmp_path, stop_after, said, run
):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=stop_after("epoch 1", 3))
    path = RunFolder(tmp_path / "a").checkpoint
    state = load_checkpoint(path)
    torch.save(state | {"random": state["random"] * 2}, path)
    run(recipe, train_videos, val_videos, tmp_path / "a", resume=True, progress=said)
    assert "warning: begun with 2 processes, goes on with 1: " in said.lines[0]


def test_weights_that_changed_are_said_and_before_the_first_step_refused(
    recipe, train_videos, val_videos, tmp_path, stop_after, said, run
):
    run(recipe, train_videos, val_videos, tmp_path / "first")
    init = tmp_path / "init.pt"
    RunFolder(tmp_path / "first").checkpoint.rename(init)
    tuned = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": str(init)})})
    with pytest.raises(InterruptedRunError):
        run(tuned, train_videos, val_videos, tmp_path / "cut", progress=stop_after("epoch 1", 3))
    torch.save(load_checkpoint(init) | {"more": 1}, init)
    changed = f"{init}: holds other weights than those {tmp_path / 'cut'} started from"
    run(tuned, train_videos, val_videos, tmp_path / "cut", resume=True, progress=said)
    assert f"warning: {changed}; it goes on from its checkpoint" in said.lines
    folder = RunFolder(tmp_path / "cut")
    folder.result_file.unlink()
    folder.checkpoint.unlink()
    with pytest.raises(CheckpointError) as caught:
        run(tuned, train_videos, val_videos, tmp_path / "cut", resume=True)
    assert str(caught.value) == changed
    assert caught.value.hint == "choose another --out to begin anew"


def test_a_run_and_its_result_say_what_they_are_known_by(
    recipe, train_videos, val_videos, tmp_path, run
):
    result = run(recipe, train_videos, val_videos, tmp_path / "a")
    about = RunFolder(tmp_path / "a").environment()
    assert (about["data_id"], about["numerics"]) == ("synth/1", NUMERICS)
    assert list(about["files"]) == ["train", "val"]
    assert (result.split_id, result.numerics) == ("synth/1", NUMERICS)
    assert result.recipe_hash == recipe_hash(recipe)


def test_resume_refuses_other_videos(recipe, train_videos, val_videos, tmp_path, run):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    folder = RunFolder(tmp_path / "a")
    write_json(folder.environment_file, folder.environment() | {"data_id": "synth/0"})
    with pytest.raises(DataError, match=r"was begun on videos known as synth/0, .* are synth/1"):
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)
