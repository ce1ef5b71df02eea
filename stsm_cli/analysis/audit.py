"""The audit of the paper (`results/audit.md`): where it parts from itself, its sources and us.

A pure function of the paper's statements and tables, the counted networks and the run records: the
same give the same text.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from stsm_cli.analysis.audit_order import measured_order, printed_order
from stsm_cli.analysis.finding import KINDS, Finding
from stsm_cli.analysis.records import write_whole
from stsm_cli.analysis.statements import findings, load_section, note_of, section_files
from stsm_cli.analysis.template import fill
from stsm_cli.printable import markdown


@dataclass(frozen=True)
class _Section:
    """A part of the text; its findings by their numbers."""

    heading: str
    note: str
    findings: dict[int, Finding]


def audit_sections(out: Path) -> list[tuple[str, list[Finding]]]:
    """Headings and their findings, in the paper's order.

    Args:
        out: The folder of results, for the run records below it.

    Raises:
        DataError: A record is broken.
        RecipeError: A statement or one of its formulas is wrong.
    """
    return [(load_section(path).heading, _found(path, out)) for path in section_files()]


def audit_text(out: Path) -> str:
    """The audit as Markdown.

    Args:
        out: The folder of results, for the run records below it.

    Raises:
        DataError: A record is broken.
        RecipeError: A statement or one of its formulas is wrong.
    """
    numbers, sections = count(1), []
    for path, (heading, found) in zip(section_files(), audit_sections(out), strict=True):
        numbered = {next(numbers): finding for finding in found}
        sections.append(_Section(heading, note_of(path), numbered))
    every = {number: one for part in sections for number, one in part.findings.items()}
    kinds = Counter(finding.kind for finding in every.values())
    known = ", ".join(f"{kind}: {kinds[kind]}" for kind in KINDS if kinds[kind])
    return fill(
        "audit.md",
        counts=f"{len(every)} statements: {known}",
        overview=_overview(every),
        sections=sections,
    )


def write_audit(out: Path) -> Path:
    """Write `audit.md` into the folder of results; its path.

    Raises:
        DataError: A record is broken.
        RecipeError: A statement or one of its formulas is wrong.
        UsageError: `out` cannot be written.
    """
    write_whole(out / "audit.md", audit_text(out))
    return out / "audit.md"


def _found(path: Path, out: Path) -> list[Finding]:
    match load_section(path).order:
        case "printed":
            return printed_order() + findings(path)
        case "measured":
            return measured_order(out) + findings(path)
        case None:
            return findings(path)


def _overview(findings: Mapping[int, Finding]) -> str:
    rows = [
        (f"[{number}](#{number})", finding.where, finding.claim, finding.kind)
        for number, finding in findings.items()
    ]
    return markdown(("", "where", "claim", "verdict"), rows)
