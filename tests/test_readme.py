"""The README shows what the suite does and measured, not what somebody remembers."""

import importlib.util
import re
from pathlib import Path

import pytest

from stsm_cli.cli.app import run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_what_it_shows_is_what_the_results_say():
    """If this fails, run `python benchmarks/readme.py` and read what changed."""
    path = ROOT / "benchmarks" / "readme.py"
    spec = importlib.util.spec_from_file_location("readme", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = README.read_text()
    assert module.shown(text) == text
    assert all(part in text for part in module.parts().values())


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert len(links) >= 5
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    "command",
    ["prepare", "train", "eval", "ablate", "flops", "doctor", "export", "inspect", "weights"],
)
def test_every_command_is_named(command, capsys):
    assert f"`stsm {command}" in README.read_text()
    assert run([command, "--help"]) == 0
