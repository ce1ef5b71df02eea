"""The README shows what the suite does and measured, not what somebody remembers."""

import re
from pathlib import Path

import pytest

from stsm_cli.cli.app import run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


RESULTS = ROOT / "results"
MARK = "<!-- {}; a test compares them -->\n"


def tables(text):
    """The tables of a Markdown text."""
    return re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)


def shown(source):
    """What README shows behind the comment that names its source."""
    return README.read_text().split(MARK.format(source))[1]


@pytest.mark.parametrize(("place", "which"), [(0, "first"), (1, "second")])
def test_the_tables_are_the_generated_ones(place, which):
    generated = tables((RESULTS / "table1_alpha.md").read_text())
    assert tables(shown(f"the {which} table of results/table1_alpha.md"))[0] == generated[place]


def test_what_can_be_concluded_is_what_the_results_say():
    generated = (RESULTS / "README.md").read_text()
    text = generated.split("## What can be concluded\n\n")[1].split("\n\n## ")[0]
    assert shown("from results/README.md").startswith(text.strip() + "\n\n")


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
