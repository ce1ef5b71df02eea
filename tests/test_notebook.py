"""The notebook is run, and says what it was committed with."""

from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook" / "shift.ipynb"


def said(cell):
    """Printed text of a cell, and the kinds of its other outputs."""
    outputs = cell.get("outputs", [])
    printed = "".join(output["text"] for output in outputs if output.output_type == "stream")
    return printed, [sorted(output.data) for output in outputs if "data" in output]


def test_it_gives_the_outputs_that_it_shows(tmp_path):
    committed = nbformat.read(NOTEBOOK, as_version=4)
    ran = NotebookClient(deepcopy(committed), resources={"metadata": {"path": tmp_path}}).execute()
    assert [said(cell) for cell in ran.cells] == [said(cell) for cell in committed.cells]
    (slow,) = (cell for cell in ran.cells if "def slowly" in cell.source)
    assert said(slow) == ("True\n", [])
