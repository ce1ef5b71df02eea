"""The README shows what the suite does and measured, not what somebody remembers."""

import re
from pathlib import Path

import pytest

from stsm_cli.cli.app import run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def table(text):
    """The first table of a Markdown text."""
    return re.search(r"(^\|.*\n)+", text, re.MULTILINE).group()


def test_the_table_is_the_generated_one():
    shown = README.read_text().split("a test compares them -->")[1]
    assert table(shown) == table((ROOT / "results" / "table1_alpha.md").read_text())


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert len(links) >= 5
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("command", ["prepare", "train", "eval", "ablate", "flops"])
def test_every_command_is_named(command, capsys):
    assert f"`stsm {command}" in README.read_text()
    assert run([command, "--help"]) == 0
