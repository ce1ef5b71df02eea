import pytest

from stsm_cli.data.spreadsheet import as_text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff20"])
def test_what_a_spreadsheet_would_run_is_text(start):
    assert as_text(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


@pytest.mark.parametrize("cell", ["", "a/1.mp4", "a=b", "1-2", "été"])
def test_other_cells_stay(cell):
    assert as_text(cell) == cell
