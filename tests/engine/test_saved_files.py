from pathlib import Path

import pytest

from stsm_cli.engine.saved_files import check_folder
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
