"""The notebook is run, and says what it was committed with."""

from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook" / "shift.ipynb"


def texts(cell):
    """Outputs of a cell; of pictures, that there is one."""
    outputs = cell.get("outputs", [])
    return [output["text"] if "text" in output else sorted(output["data"]) for output in outputs]


def test_it_gives_the_outputs_that_it_shows(tmp_path):
    committed = nbformat.read(NOTEBOOK, as_version=4)
    ran = NotebookClient(deepcopy(committed), resources={"metadata": {"path": tmp_path}}).execute()
    assert [texts(cell) for cell in ran.cells] == [texts(cell) for cell in committed.cells]
    assert "True\n" in texts(committed.cells[12])[0]  # equal to the definition
