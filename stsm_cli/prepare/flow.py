"""Optical flow of all videos of a prepared set.

Leaves `ROOT/flow_METHOD/`, and `manifest/flow_METHOD.json` when it is through: it is deleted first,
so that what is interrupted is not read. Videos without flow are counted there, and stand, each with
its reason, in `flow_METHOD_problems.csv`.
"""

import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from stsm_cli.atomic import whole_file
from stsm_cli.cores import num_cores
from stsm_cli.data.content import files_id
from stsm_cli.data.counts import prepared_as
from stsm_cli.data.flow import LIMIT_PX, QUANTUM_PX, flow_folder, flow_path
from stsm_cli.data.flow_report import flow_problems_path, flow_report_path
from stsm_cli.data.manifest import (
    Manifest,
    filled_splits,
    has_manifest,
    manifest_digest,
    read_manifest,
)
from stsm_cli.errors import DataError
from stsm_cli.prepare.check import Check
from stsm_cli.prepare.drafts import remove_drafts
from stsm_cli.prepare.examine import Task, examine
from stsm_cli.prepare.findings import (
    Checks,
    Problem,
    count_passing,
    decoder_version,
    first_problems,
    problems_csv,
    split_counts,
    tell_passing,
)
from stsm_cli.prepare.flow_file import VERSION, FlowSettings, make_flow
from stsm_cli.prepare.flow_methods import opencv_version, require
from stsm_cli.prepare.usable import unwritable
from stsm_cli.printable import command_line, counted, size
from stsm_cli.progress import SILENT, Progress

COLUMNS = ("split", "videos", "with flow", "without")


def prepare_flow(
    root: Path,
    settings: FlowSettings,
    *,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Compute the flow of all videos of the manifests at `root`; what is there already is kept.

    Worker processes are spawned: a script that calls this needs `if __name__ == "__main__"`.

    Args:
        root: A prepared data set.
        settings: The flow.
        workers: Processes; None: one for each CPU that this process may use.
        progress: Told about every video.

    Returns:
        What the report holds; `check_some` says whether it is enough.

    Raises:
        UsageError: OpenCV, or this method of it, is not installed.
        DataError: The set is not prepared, or files cannot be written.
        InterruptedRunError: Ctrl-C; what was made so far is kept.
        PreemptedError: SIGTERM; the same.
    """
    require(settings.method)
    started = time.monotonic()
    manifests, digests = _manifests(root)
    sides = {r.path: min(r.width, r.height) for m in manifests for r in m.records}
    files = {manifest.split: files_id(manifest) for manifest in manifests}
    task = flow_task(root, settings, sides)
    if told := _told_replaced(root, settings):
        progress.message(told)
    try:
        flow_report_path(root, settings.method).unlink(missing_ok=True)
        checks = examine(root, sides, task, workers=workers or num_cores(), progress=progress)
        report = _report(manifests, digests, checks, settings) | {
            "files": files,
            "seconds": round(time.monotonic() - started, 1),
        }
        _write(root, settings, manifests, checks, report)
    except OSError as error:
        raise unwritable(error, root) from error
    finally:
        remove_drafts(root / flow_folder(settings.method))
    return report


def _manifests(root: Path) -> tuple[list[Manifest], dict[str, str]]:
    """The manifests, and the digest of each, of before it was read: what changes then is known."""
    splits = [*filled_splits(root), *(["test"] if has_manifest(root, "test") else [])]
    digests = {split: manifest_digest(root, split) for split in splits if has_manifest(root, split)}
    try:
        return [read_manifest(root, split) for split in splits], digests
    except DataError as error:
        words = command_line("prepare", prepared_as(root) or "folder", root)
        hint = f"prepare the set first, for example `{words}`"
        raise DataError(str(error), hint=error.hint and hint) from None


def _told_replaced(root: Path, settings: FlowSettings) -> str | None:
    """A sentence on flow of another size that is there; None where there is none."""
    try:
        old = json.loads(flow_report_path(root, settings.method).read_bytes())["short_side_px"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if old == settings.short_side_px:
        return None
    return (
        f"there is flow of a short side of at most {old} pixels; it is computed anew for "
        f"{settings.short_side_px}, and until that is done there is none"
    )


def flow_task(root: Path, settings: FlowSettings, sides: Mapping[str, int]) -> Task:
    """The work on each video, but on those whose flow is there, or could not be made before.

    Args:
        root: The data root.
        settings: The flow.
        sides: The short side of each video, in pixels.
    """

    def stands(path: str, check: Check) -> bool:
        made = root / flow_path(settings.method, path)
        if check.status != "ok":
            return not made.exists()
        is_whole = made.exists() and made.stat().st_size == check.made_bytes
        wanted = min(settings.short_side_px, sides[path])
        return is_whole and min(check.width, check.height) == wanted

    work = partial(make_flow, root, settings)
    return Task("computing flow", settings.how, {settings.how: stands}, work, settings.how)


def _report(
    manifests: list[Manifest], digests: dict[str, str], checks: Checks, settings: FlowSettings
) -> dict[str, Any]:
    problems = _problems(manifests, checks)
    without_flow = {
        m.split: [path for path, split, *_ in problems if split == m.split] for m in manifests
    }
    return {
        "schema": "stsm.flow/1",
        "method": settings.method,
        "short_side_px": settings.short_side_px,
        "limit_px": LIMIT_PX,
        "quantum_px": QUANTUM_PX,
        "version": VERSION,
        "manifests": digests,
        "splits": {
            manifest.split: split_counts(checks[r.path] for r in manifest.records).as_dict()
            for manifest in manifests
        },
        "fields": sum(check.num_frames for check in checks.values()),
        "bytes": sum(check.made_bytes for check in checks.values()),
        "without_flow": without_flow,
        "passing": count_passing(checks),
        "num_problems": len(problems),
        "first_problems": first_problems(problems),
        "computed_by": f"OpenCV {opencv_version()}",
        "verified_by": decoder_version(),
    }


def _problems(manifests: list[Manifest], checks: Checks) -> list[Problem]:
    """The videos without flow."""
    return [
        (record.path, manifest.split, check.status, check.reason)
        for manifest in manifests
        for record in manifest.records
        if (check := checks[record.path]).status != "ok"
    ]


def _write(
    root: Path,
    settings: FlowSettings,
    manifests: list[Manifest],
    checks: Checks,
    report: Mapping[str, Any],
) -> None:
    """Write list and report, each whole or not at all."""
    with whole_file(flow_problems_path(root, settings.method)) as file:
        file.write(problems_csv(_problems(manifests, checks)))
    with whole_file(flow_report_path(root, settings.method)) as file:
        file.write(json.dumps(report, indent=2).encode())


def check_some(report: Mapping[str, Any]) -> None:
    """Refuse a split of which no video has flow.

    Raises:
        DataError: There is none; names the list of reasons.
    """
    for split, counts in report["splits"].items():
        if not counts["usable"]:
            raise DataError(
                f"{split}: none of {counts['listed']:,} videos has flow",
                hint=f"manifest/flow_{report['method']}_problems.csv has each with its reason",
            )


def rows(report: Mapping[str, Any]) -> list[list[str]]:
    """The report as a table of `COLUMNS`, a row a split."""
    return [
        [
            split,
            str(counts["listed"]),
            str(counts["usable"]),
            str(counts["listed"] - counts["usable"]),
        ]
        for split, counts in report["splits"].items()
    ]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """The sentences below the table."""
    said = [f"  {text}" for text in report["first_problems"]]
    if said:
        place = f"manifest/flow_{report['method']}_problems.csv"
        said.append(f"{counted(report['num_problems'], 'video')} without flow in all, in {place}")
    each = report["bytes"] / max(1, report["fields"]) / 1000
    return [
        *said,
        *tell_passing(report["passing"]),
        f"{counted(report['fields'], 'field')} by {report['method']}, short side at most "
        f"{report['short_side_px']}, {size(report['bytes'])} ({each:.1f} kB each)",
        f"every field was decoded again; {report['computed_by']}",
    ]
