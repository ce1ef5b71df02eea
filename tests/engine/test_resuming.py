import json

import pytest

from stsm_cli.config.run_identity import init_sha256
from stsm_cli.data.mirror import Mirror
from stsm_cli.engine.resuming import changed_start, check_mirror, check_origin, check_same
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import CheckpointError, DataError

ABOUT = {"recipe": "a", "data": "b", "decoder": "pyav"}


def test_a_number_of_classes_left_to_the_data_agrees_with_any(recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    data = recipe.data.model_copy(update={"dataset": "folder", "synth": None})
    known = recipe.model_copy(update={"data": data})
    folder.create(known, {}, ())
    open_model = recipe.model.model_copy(update={"num_classes": None})
    check_same(folder, known.model_copy(update={"model": open_model}))
    with pytest.raises(CheckpointError, match="another recipe: seed is 0 there, 1 here"):
        check_same(folder, known.model_copy(update={"model": open_model, "seed": 1}))


@pytest.mark.parametrize(
    ("about", "error", "problem"),
    [
        (
            {"data_id": "one"},
            DataError,
            "was begun on videos known as one, the data set's are two",
        ),
        (
            {"numerics": 7, "stsm": "9.9"},
            CheckpointError,
            r"was begun by stsm 9.9 \(numerics 7\), this stsm gives other numbers",
        ),
    ],
)
def test_a_run_goes_on_only_with_its_videos_and_its_numerics(
    recipe, tmp_path, about, error, problem
):
    folder = RunFolder(tmp_path / "run")
    folder.create(recipe, ABOUT, ())
    check_origin(folder, "two")  # runs of stsm 0.4 do not say
    folder.environment_file.write_text(json.dumps(ABOUT | about))
    with pytest.raises(error, match=problem) as caught:
        check_origin(folder, "two")
    assert "choose another --out to begin anew" in caught.value.hint


def test_a_run_goes_on_only_with_the_classes_that_a_mirror_swapped(recipe, tmp_path):
    def swapping(*pairs):
        return Mirror(tuple(pairs), "file.csv")

    folder, first = RunFolder(tmp_path / "run"), ("a", "b")
    folder.create(recipe, ABOUT, ())
    check_mirror(folder, recipe, swapping(first), tmp_path)  # runs of old do not say
    about = {"mirror": {"pairs": [["a", "b"], ["c", "d"]], "source": "their names"}}
    folder.environment_file.write_text(json.dumps(ABOUT | about))
    check_mirror(folder, recipe, swapping(("d", "c"), first), tmp_path)
    with pytest.raises(DataError) as caught:
        check_mirror(folder, recipe, swapping(first, ("c", "e")), tmp_path)
    assert str(caught.value) == (
        f"{folder.path}: was begun with mirror images that swap c and d, a and b (by their names), "
        "they now swap c and e, a and b (by file.csv)"
    )
    assert caught.value.hint == (
        f"name the former pairs in {tmp_path}/manifest/mirror_pairs.csv, or choose another --out "
        "to begin anew"
    )
    plain = recipe.data.model_copy(update={"flip": "plain"})
    check_mirror(folder, recipe.model_copy(update={"data": plain}), swapping(first), tmp_path)


def test_weights_to_start_from_are_compared_by_content(recipe, tmp_path):
    def starts_from(name):
        return recipe.model_copy(
            update={"model": recipe.model.model_copy(update={"init": str(tmp_path / name)})}
        )

    (tmp_path / "a.pt").write_bytes(b"one")
    digest = init_sha256(starts_from("a.pt"))
    folder = RunFolder(tmp_path / "run")
    folder.create(starts_from("a.pt"), ABOUT | {"init_sha256": digest}, ())
    (tmp_path / "a.pt").rename(tmp_path / "b.pt")
    check_same(folder, starts_from("b.pt"))  # moved
    assert changed_start(folder) is None  # gone: it mattered to the first step alone
    (tmp_path / "c.pt").write_bytes(b"two")
    with pytest.raises(CheckpointError, match=r"model\.init is .*a\.pt there, .*c\.pt here"):
        check_same(folder, starts_from("c.pt"))
    (tmp_path / "a.pt").write_bytes(b"two")
    assert changed_start(folder) == (
        f"{tmp_path / 'a.pt'}: holds other weights than those {folder.path} started from"
    )
