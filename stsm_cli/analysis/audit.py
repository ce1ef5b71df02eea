"""The audit of the paper (`results/audit.md`): where it parts from itself, its sources and us.

A pure function of the paper's statements and tables, the counted networks and the run records: the
same give the same text.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stsm_cli.analysis.audit_order import measured_order, printed_order
from stsm_cli.analysis.cells import markdown
from stsm_cli.analysis.finding import KINDS, Finding
from stsm_cli.analysis.records import write_whole
from stsm_cli.analysis.statements import findings, load_section, note_of, section_files

INTRODUCTION = """\
# The paper, checked

Statements of *STSM: Spatio-Temporal Shift Module for Efficient Action Recognition* against the
paper's own tables, against what its sources publish, and against what is counted and measured
here. “Printed” is what the paper says; “computed” is worked out, whenever this page is made, from
the paper's tables as data (`datasets/paper/`), from the networks as fvcore counts them, and from
the run records, and so is the verdict, unless it says “read, not computed”. What others publish is
quoted with its source (`datasets/paper/elsewhere.yaml`). What is undecided is measured, but not
clear by these seeds; what is open can only be settled by the authors or by training on the real
data sets.
"""


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
    sections = audit_sections(out)
    lines = [INTRODUCTION, *_overview([one for _, found in sections for one in found])]
    number = 0
    for path, (heading, found) in zip(section_files(), sections, strict=True):
        lines += ["", f"## {heading}", ""]
        lines += [note, ""] if (note := note_of(path)) else []
        for finding in found:
            number += 1
            lines += _details(number, finding)
    return "\n".join(lines).rstrip("\n") + "\n"


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


def _overview(findings: Sequence[Finding]) -> list[str]:
    counts = Counter(finding.kind for finding in findings)
    return [
        f"{len(findings)} statements: "
        + ", ".join(f"{kind}: {counts[kind]}" for kind in KINDS if counts[kind])
        + ".",
        "",
        *markdown(
            ("", "where", "claim", "verdict"),
            [
                (f"[{number}](#{number})", one.where, one.claim, one.kind)
                for number, one in enumerate(findings, 1)
            ],
        ),
    ]


def _heading(claim: str) -> str:
    """With a capital, but for a Greek letter, whose capital says something else."""
    return claim[0].upper() + claim[1:] if claim[0].isascii() else claim


def _details(number: int, finding: Finding) -> list[str]:
    read = " (read, not computed)" if finding.is_read else ""
    lines = [
        f'<a id="{number}"></a>',
        f"### {number}. {_heading(finding.claim)}",
        "",
        f"- Where: {finding.where}",
        f"- Printed: {finding.printed}",
        f"- Computed: {finding.computed}",
        f"- Verdict: **{finding.kind}**{read}: {finding.because}",
    ]
    if finding.sources:
        lines.append(f"- Source: {'; '.join(f'`{source}`' for source in finding.sources)}")
    return [*lines, ""]
