"""What every test may rely on: one thread, no colour, its own folder, seeded generators."""

import os
import random
import sys
from pathlib import Path

import pytest

import stsm_cli
from stsm_cli.cli import output

# Before torch is imported, and for subprocesses too: these run the package that is tested here.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "NO_COLOR": "1",
    "COLUMNS": "80",
    "PYTHONPATH": str(Path(stsm_cli.__file__).parents[1]),
}
os.environ.pop("FORCE_COLOR", None)


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """Nothing leaks: not files, not the output's verbosity, not random numbers."""
    monkeypatch.chdir(tmp_path)
    _seed()
    output.use(output.Output())


def _seed():
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
