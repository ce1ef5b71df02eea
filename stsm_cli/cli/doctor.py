"""`stsm doctor`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from stsm_cli import __version__
from stsm_cli.cli import output
from stsm_cli.cli.options import Json

if TYPE_CHECKING:
    from stsm_cli.engine.doctor import Diagnosis


def doctor(as_json: Json = False) -> None:
    """Look whether what the commands need works here.

    Where it does not, it says what to do. Nothing is changed. Its last lines are for a bug report;
    they name neither you, nor this machine, nor its folders. The exit code is 1 where `stsm train`
    would not work.

    Examples:
      stsm doctor
      stsm doctor --json
    """
    from stsm_cli.engine.checkups import CHECKS
    from stsm_cli.engine.doctor import bug_report, examine

    console = output.current()
    found = []
    with console.bar("looking", len(CHECKS)) as bar:
        for finding in examine(CHECKS):
            found.append(finding)
            bar.advance(status=finding.name)
    failed = [finding.name for finding in found if finding.state == "failed"]
    report = bug_report(found)
    if as_json:
        console.json(_record(found, failed, report))
    else:
        _print(found, failed, report)
    if failed:
        raise typer.Exit(1)


def _record(found: "Sequence[Diagnosis]", failed: list[str], report: str) -> dict[str, Any]:
    return {
        "schema": "stsm.doctor/1",
        "stsm": __version__,
        "can_train": not failed,
        "checks": [vars(finding) for finding in found],
        "report": report,
    }


def _print(found: "Sequence[Diagnosis]", failed: list[str], report: str) -> None:
    console = output.current()
    rows = [[finding.name, finding.state, finding.text, finding.remedy] for finding in found]
    verdict = "all that `stsm train` needs works"
    if failed:
        verdict = f"`stsm train` will not work: see {', '.join(failed)}"
    columns = ["check", "state", "found", "remedy"]
    if not any(finding.remedy for finding in found):
        columns, rows = columns[:3], [row[:3] for row in rows]
    console.table("Doctor", columns, rows, notes=[verdict, "for a bug report:"])
    console.text(f"\n{report}")
