"""The audit of the paper (`results/audit.md`): where it parts from itself, its sources and us.

A pure function of the paper's tables, the counted networks and the run records: the same give the
same text.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stsm_cli.analysis.audit_ablations import ablation_findings
from stsm_cli.analysis.audit_cells import cell_findings
from stsm_cli.analysis.audit_costs import cost_findings
from stsm_cli.analysis.audit_kinetics import kinetics_findings
from stsm_cli.analysis.audit_labels import label_findings
from stsm_cli.analysis.audit_method import method_findings
from stsm_cli.analysis.audit_order import measured_order, printed_order
from stsm_cli.analysis.audit_protocol import protocol_findings
from stsm_cli.analysis.audit_something import something_findings
from stsm_cli.analysis.comparison import TEST
from stsm_cli.analysis.finding import KINDS, Finding
from stsm_cli.analysis.records import write_whole

INTRODUCTION = """\
# The paper, checked

Statements of *STSM: Spatio-Temporal Shift Module for Efficient Action Recognition* against the
paper's own tables, against what its sources publish, and against what is counted and measured
here. “Printed” is what the paper says; “computed” is worked out, whenever this page is made, from
the paper's tables as data (`datasets/paper/`), from the networks as fvcore counts them, and from
the run records. What others publish is quoted with its source (`datasets/paper/elsewhere.yaml`).
What is undecided is measured, but not clear by these seeds; what is open can only be settled by the
authors or by training on the real data sets.
"""
MEASURED = (
    "Runs on the embedded set: small videos that `stsm` generates, and a small network. They can "
    "say whether an order of settings carries over, not what Kinetics-400 would give. "
    f"{TEST} A sentence here may order other pairs than a table's own claim, and another number of "
    "them, so p after the correction may differ."
)


def audit_sections(out: Path) -> list[tuple[str, list[Finding]]]:
    """Headings and their findings, in the paper's order.

    Args:
        out: The folder of results, for the run records below it.

    Raises:
        DataError: A record is broken.
    """
    return [
        ("The operator (sections 1, 3 and 5.1)", method_findings()),
        ("Data, training and test (section 4)", protocol_findings()),
        ("Ablations (section 5.1, Tables 1 to 3)", printed_order() + ablation_findings()),
        ("Kinetics-400 (abstract and section 5.2, Table 4)", kinetics_findings()),
        ("Something-Something V2 and backbones (5.2 and 5.3)", something_findings()),
        ("Labels and cells of Tables 4 to 7", label_findings() + cell_findings()),
        ("Computation and parameters", cost_findings()),
        ("The order of settings, measured here", measured_order(out)),
    ]


def audit_text(out: Path) -> str:
    """The audit as Markdown.

    Args:
        out: The folder of results, for the run records below it.

    Raises:
        DataError: A record is broken.
    """
    sections = audit_sections(out)
    lines = [INTRODUCTION, *_overview([one for _, found in sections for one in found])]
    number = 0
    for heading, found in sections:
        lines += ["", f"## {heading}", ""]
        lines += [MEASURED, ""] if heading.endswith("measured here") else []
        for finding in found:
            number += 1
            lines += _details(number, finding)
    return "\n".join(lines).rstrip("\n") + "\n"


def write_audit(out: Path) -> Path:
    """Write `audit.md` into the folder of results; its path.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    write_whole(out / "audit.md", audit_text(out))
    return out / "audit.md"


def _overview(findings: Sequence[Finding]) -> list[str]:
    counts = Counter(finding.kind for finding in findings)
    table = [
        f"| [{number}](#{number}) | {one.where} | {one.claim} | {one.kind} |"
        for number, one in enumerate(findings, 1)
    ]
    return [
        f"{len(findings)} statements: "
        + ", ".join(f"{kind}: {counts[kind]}" for kind in KINDS if counts[kind])
        + ".",
        "",
        "| | where | claim | verdict |",
        "| --- | --- | --- | --- |",
        *table,
    ]


def _heading(claim: str) -> str:
    """With a capital, but for a Greek letter, whose capital says something else."""
    return claim[0].upper() + claim[1:] if claim[0].isascii() else claim


def _details(number: int, finding: Finding) -> list[str]:
    kind, reason = finding.verdict.split(": ", 1)
    lines = [
        f'<a id="{number}"></a>',
        f"### {number}. {_heading(finding.claim)}",
        "",
        f"- Where: {finding.where}",
        f"- Printed: {finding.printed}",
        f"- Computed: {finding.computed}",
        f"- Verdict: **{kind}**: {reason}",
    ]
    if finding.sources:
        lines.append(f"- Source: {'; '.join(f'`{source}`' for source in finding.sources)}")
    return [*lines, ""]
