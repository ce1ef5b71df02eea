"""A recipe of another data set that is taken to a folder by one key."""

import pytest

from stsm_cli.config.load import dump_recipe, load_recipe, recipe_hash, recipe_names

FOLDER = ["data.dataset=folder"]


def test_classes_and_mirroring_are_left_to_the_folder():
    loaded = load_recipe("sthv2/mg_tsm_r50_8f", FOLDER)
    assert loaded.recipe.model.num_classes is None
    assert "flip" not in loaded.recipe.data.model_fields_set
    assert loaded.recipe.data.sampling == "motion"
    assert loaded.notes == [
        "model.num_classes null: in place of 174, which is of sthv2",
        "data.flip plain: in place of none, which is of sthv2; label_aware where names of "
        "classes are mirror images",
    ]
    assert loaded.title == "sthv2/mg_tsm_r50_8f + data.dataset=folder"


def test_the_section_and_the_split_of_a_generated_set_go():
    loaded = load_recipe("scenes/stsm", FOLDER)
    assert (loaded.recipe.data.scenes, loaded.recipe.test.split) == (None, "val")
    classes, told, split = loaded.notes
    assert told.startswith("data.flip plain: in place of label_aware, which is of scenes; ")
    assert (classes, split) == (
        "model.num_classes null: in place of 24, which is of scenes",
        "test.split val: in place of test, which is of scenes",
    )


def test_a_flip_that_stays_plain_is_not_told():
    loaded = load_recipe("k400/tsm_r50_8f", FOLDER)
    assert "flip" not in loaded.recipe.data.model_fields_set
    assert loaded.notes == ["model.num_classes null: in place of 400, which is of k400"]


def test_no_one_can_write_the_null_of_a_flip(problems):
    lines, _ = problems("folder/tsm_r50_8f", ["data.flip=null"])
    assert lines == ["--set: data.flip: must be 'none', 'plain' or 'label_aware', got null"]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_taken_to_a_folder(name):
    recipe = load_recipe(name, FOLDER).recipe
    assert (recipe.data.dataset, recipe.model.num_classes) == ("folder", None)


def test_what_is_written_beside_it_stays():
    edits = [*FOLDER, "model.num_classes=5", "data.flip=none"]
    loaded = load_recipe("synth/mg_tea", edits)
    assert (loaded.recipe.model.num_classes, loaded.recipe.data.flip) == (5, "none")
    assert loaded.notes == []
    own = load_recipe("folder/tsm_r50_8f", FOLDER)
    assert (own.title, own.notes) == ("folder/tsm_r50_8f", [])


def test_a_section_that_is_written_beside_it_is_refused(problems):
    lines, _ = problems("synth/mg_tea", [*FOLDER, "data.synth.train=40"])
    (line,) = lines
    assert line.endswith("data: a `synth` section belongs to `dataset: synth`, and to it alone")


def test_a_copy_that_says_folder_is_taken_there_too(write):
    path = write("mine.yaml", "extends: synth/mg_tea\ndata: {dataset: folder}\n")
    found, same = load_recipe(path).recipe, load_recipe("synth/mg_tea", FOLDER).recipe
    assert recipe_hash(found) == recipe_hash(same)
    write("run.yaml", dump_recipe(found.model_copy(update={"seed": 1})))
    assert load_recipe("run.yaml", FOLDER, of_run=True).notes == []


@pytest.mark.parametrize("edit", ["data=3", "data.dataset=4", "data.dataset=[folder]", "model=3"])
def test_what_is_broken_is_left_to_the_schema(problems, edit):
    (line,), _ = problems("synth/mg_tea", [*FOLDER, edit])
    assert line.startswith(f"--set: {edit.partition('=')[0]}: must be ")
