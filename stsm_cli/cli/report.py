"""`stsm report`."""

from pathlib import Path
from typing import Annotated

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.errors import UsageError

_PAGES = {
    "README.md": "# Results\n\nMade by",
    "audit.md": "# The paper, checked",
    "pairs.md": "# Pair by pair",
    "causal.md": "# A shift that looks at the past alone",
    "shift_in_3d.md": "# What the shift does in a 3D network",
}
"""The pages beside the tables, and how each begins."""


def report(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The folder with `records/`; files go there."),
    ] = Path("results"),
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="First copy the records of another machine's folder of results, which is left as "
            "it is (repeatable); of a run that both have, the record in --out stays, and a line "
            "tells both accuracies.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Also write all of it as one page, `index.html`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make tables, figures, audit and index again from run records.

    Examples:
      stsm report --html
      stsm report --out results --json
      stsm report --from node1/results --from node2/results
    """
    from stsm_cli.analysis.merging import merge_records
    from stsm_cli.analysis.records import read_records

    console = output.current()
    if out.exists() or not others:
        _check_folder(out)
    copied, twice = merge_records(out, others or ())
    if others:
        console.message(f"new records: {len(copied)}")
    for run in twice:
        console.warn(str(run))
    if not read_records(out):
        console.message(f"no run is recorded below {out}: `stsm ablate alpha` makes some")
    written = _write(out, html=html)
    if as_json:
        console.json({"schema": "stsm.report/1", "written": [str(path) for path in written]})
        return
    for path in written:
        console.text(str(path))


def _check_folder(out: Path) -> None:
    from stsm_cli.analysis.page import PAGE, is_our_page
    from stsm_cli.atomic import may_replace
    from stsm_cli.engine.saved_files import check_file

    if out.is_file():
        raise UsageError(f"--out {out}: is a file, not a folder")
    if not out.is_dir():
        raise UsageError(f"--out {out}: no such folder", hint="`stsm ablate alpha` makes results/")
    others = [name for name, begins in _PAGES.items() if not may_replace(out / name, begins)]
    is_made = not others and (out / "audit.md").exists()
    is_of_results = is_made or (out / "records").is_dir()
    if not is_of_results and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UsageError(
            f"--out {out}: holds other files and no records/, so it is no folder of results",
            hint="name the one that `stsm ablate` wrote to, or an empty folder",
        )
    check_file("--out", out / "README.md")
    others += [] if is_our_page(out) else [PAGE]
    if others:
        raise UsageError(
            f"--out {out}: its {others[0]} is not of `stsm report`, which would replace it",
            hint="move it, or put records/ into a folder of their own",
        )


def _write(out: Path, *, html: bool) -> list[Path]:
    from stsm_cli.analysis.ablation import ablation_names
    from stsm_cli.analysis.added_rows import write_added_rows
    from stsm_cli.analysis.audit import write_audit
    from stsm_cli.analysis.index import write_index
    from stsm_cli.analysis.page import PAGE, write_page
    from stsm_cli.analysis.pairs_page import write_pairs
    from stsm_cli.analysis.probes_page import PROBES_PAGE
    from stsm_cli.analysis.publish import publish, write_pictures

    names, written = ablation_names(), []
    html = html or (out / PAGE).exists()  # no page is left behind by its tables
    with output.current().bar("writing results", len(names) + 2 + html) as bar:
        for name in names:
            written += publish(out, name, unmeasured=True)
            bar.advance(1, name)
        tables = [path for path in written if path.suffix == ".md"]
        written += write_pictures(out)
        bar.advance(1, "pictures")
        beside = [*write_added_rows(out), write_pairs(out), write_audit(out)]
        index = write_index(out)
        written += [*beside, index]
        bar.advance(1, "audit")
        if html:
            probes = [path for path in (out / PROBES_PAGE,) if path.is_file()]
            written.append(write_page(out, [index, *tables, *beside, *probes]))
            bar.advance(1, "page")
    return written
