from pathlib import Path

import pytest

from stsm_cli.config.load import load_recipe
from stsm_cli.engine.saved_files import check_folder, window_of
from stsm_cli.errors import UsageError


def test_a_new_or_empty_folder_is_free_and_another_when_forced():
    Path("empty").mkdir()
    Path("full/x").mkdir(parents=True)
    check_folder(Path("new"), 8, force=False)
    check_folder(Path("empty"), None, force=False)
    check_folder(Path("full"), None, force=True)
    check_folder(None, None, force=False)


@pytest.mark.parametrize(
    ("folder", "window", "force", "message"),
    [
        ("full", None, False, r"^--save full: exists and is not empty$"),
        ("file", None, True, r"^--save file: is a file, not a folder$"),
        ("file/new", None, False, r"^--save file/new: cannot be written \(Not a directory\)$"),
        (None, 8, False, r"^--window 8: belongs to --save DIR$"),
        (None, None, True, r"^--force: belongs to --save DIR$"),
    ],
)
def test_what_is_taken_or_has_no_effect_is_refused(folder, window, force, message):
    Path("full/x").mkdir(parents=True)
    Path("file").touch()
    with pytest.raises(UsageError, match=message):
        check_folder(folder and Path(folder), window, force)


@pytest.mark.parametrize(("name", "seen"), [("k400/tsm_r50_8f", 64), ("k400/r2plus1d_34_32f", 32)])
def test_a_window_is_what_dense_sampling_sees_and_not_more(name, seen):
    recipe = load_recipe(name).recipe
    assert (window_of(recipe, None), window_of(recipe, 16)) == (seen, 16)
    told = rf"^--window {seen + 1}: dense sampling sees {seen} frames at a time$"
    with pytest.raises(UsageError, match=told):
        window_of(recipe, seen + 1)


def test_uniform_sampling_sees_all_of_a_window():
    recipe = load_recipe("sthv2/tsm_r50_8f").recipe
    assert (window_of(recipe, None), window_of(recipe, 500)) == (64, 500)
