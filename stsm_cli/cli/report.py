"""`stsm report`."""

from pathlib import Path
from typing import Annotated

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.errors import UsageError


def report(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The folder with `records/`; files go there."),
    ] = Path("results"),
    as_json: Json = False,
) -> None:
    """Make all tables, figures, the audit and their index again, from run records alone.

    Examples:
      stsm report
      stsm report --out results --json
    """
    from stsm_cli.analysis.ablation import ablation_names
    from stsm_cli.analysis.audit import write_audit
    from stsm_cli.analysis.index import write_index
    from stsm_cli.analysis.pictures import write_pictures
    from stsm_cli.analysis.publish import publish
    from stsm_cli.analysis.records import read_records

    console = output.current()
    if not out.is_dir():
        raise UsageError(f"--out {out}: no such folder", hint="`stsm ablate alpha` makes results/")
    if not read_records(out):
        console.message(f"no run is recorded below {out}: `stsm ablate alpha` makes some")
    written = []
    names = ablation_names()
    with console.bar("writing results", len(names) + 2) as bar:
        for name in names:
            written += publish(out, name)
            bar.advance(1, name)
        written += write_pictures(out)
        bar.advance(1, "pictures")
        written += [write_audit(out), write_index(out)]
        bar.advance(1, "audit")
    if as_json:
        console.json({"schema": "stsm.report/1", "written": [str(path) for path in written]})
        return
    for path in written:
        console.text(str(path))
