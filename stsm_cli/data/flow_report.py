"""The report on a set's optical flow: what the flow is known by, and which videos have none.

`stsm prepare flow` writes it when it is through. A video that it lists without flow (a single
frame, say) is left out of a training on flow; in a test it counts as wrong, so that tests of flow
and of RGB are of the same videos. Flow that is not there, and not listed, is a broken video.
"""

import hashlib
from dataclasses import field
from pathlib import Path

from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from stsm_cli.config.kinds import FlowMethod
from stsm_cli.data.content import files_differ
from stsm_cli.data.flow import flow_folder
from stsm_cli.data.manifest import Manifest, has_manifest, manifest_digest
from stsm_cli.errors import DataError
from stsm_cli.printable import command_line
from stsm_cli.stored import STRICT, read_stored

_NAMES_SHOWN = 3


@dataclass(frozen=True, config=STRICT)
class FlowReport:
    """Facts of the report that change numbers."""

    method: FlowMethod
    short_side_px: PositiveInt
    version: PositiveInt
    manifests: dict[str, str] = field(default_factory=dict)
    """Digests of the manifests whose videos it is of, by split; stsm 0.7 wrote none."""
    files: dict[str, str] = field(default_factory=dict)
    """`files_id` of these videos, by split; stsm 0.13 wrote none."""
    without_flow: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Paths of the videos that have none, by split; stsm 0.7 wrote none."""

    @property
    def how(self) -> str:
        """How the flow was computed: method, size and version."""
        return f"flow:{self.method}@{self.short_side_px}/{self.version}"

    @property
    def flow_id(self) -> str:
        """And of which videos there is none, where there are such."""
        lacking = [f"{split}\n{p}" for split, paths in self.without_flow.items() for p in paths]
        if not lacking:
            return self.how
        digest = hashlib.sha256("\n".join(lacking).encode(errors="surrogateescape")).hexdigest()
        return f"{self.how}/without-{len(lacking)}-{digest[:12]}"


def flow_command(root: Path, method: FlowMethod, short_side: str = "") -> str:
    """The command that computes a method's flow of a data root, as a hint shows it."""
    options = [] if method == "dis" else ["--method", str(method)]
    options += ["--short-side", short_side] if short_side else []
    return f"`{command_line('prepare', 'flow', root, *options)}`"


def flow_report_path(root: Path, method: FlowMethod) -> Path:
    """The path of the report on a method's flow; it is written when all of it is there."""
    return root / "manifest" / f"{flow_folder(method)}.json"


def flow_problems_path(root: Path, method: FlowMethod) -> Path:
    """The path of the list of videos without flow, with reasons, for people."""
    return root / "manifest" / f"{flow_folder(method)}_problems.csv"


def read_flow_report(root: Path, method: FlowMethod) -> FlowReport | None:
    """The report on a method's flow; None where it is not computed.

    Raises:
        DataError: It is damaged.
    """
    path = flow_report_path(root, method)
    if not path.is_file():
        return None
    hint = f"`stsm prepare flow` by {method} writes it again"
    return read_stored(path, FlowReport, "a report on flow", DataError, hint)[0]


def flow_id(root: Path, method: FlowMethod) -> str | None:
    """The identity of a set's flow; None where it is not computed.

    Raises:
        DataError: Its report is damaged.
    """
    report = read_flow_report(root, method)
    return None if report is None else report.flow_id


def check_flow(root: Path, method: FlowMethod, prepare: str = "prepare the set") -> FlowReport:
    """The report on a method's flow, which is computed, and of the videos that are listed now.

    Args:
        root: The set's folder.
        method: Whose flow.
        prepare: What is to be done first where no set is there, for the hint.

    Raises:
        DataError: It is not computed, or not to the end; or it is of other videos than the
            manifests list, as the set was prepared again since; or its report is damaged.
    """
    report = read_flow_report(root, method)
    if report is None:
        first = "" if has_manifest(root, "val") else f"{prepare}, then "
        raise DataError(
            f"{root}: has no optical flow by {method}, which the recipe reads",
            hint=f"{first}{flow_command(root, method)}",
        )
    for split, digest in report.manifests.items():
        if manifest_digest(root, split) != digest:
            raise DataError(
                f"{root}: its optical flow by {method} is of another list of {split} videos than "
                "the manifest holds now",
                hint=f"{flow_command(root, method)} makes what is missing",
            )
    return report


def check_flow_files(manifest: Manifest, method: FlowMethod) -> None:
    """Refuse a split whose videos are other files than those that its flow was computed of.

    Raises:
        DataError: Some have changed; or the report on the flow is damaged.
    """
    report = read_flow_report(manifest.root, method)
    known = report.files.get(manifest.split) if report else None
    if known is not None and files_differ(manifest, known):
        raise DataError(
            f"{manifest.root}: files of its {manifest.split} videos have changed since their "
            f"optical flow by {method} was computed",
            hint=f"{flow_command(manifest.root, method)} makes theirs anew",
        )


def videos_without_flow(root: Path, method: FlowMethod, split: str) -> frozenset[str]:
    """Paths of a split's videos that are known to have no flow.

    Raises:
        DataError: The report is damaged.
    """
    report = read_flow_report(root, method)
    return frozenset(report.without_flow.get(split, ())) if report else frozenset()


def told_without_flow(
    root: Path, method: FlowMethod, split: str, paths: frozenset[str], num_videos: int
) -> str:
    """The line on the videos of a split that have no flow.

    Raises:
        DataError: None has any.
    """
    place = flow_problems_path(root, method)
    if len(paths) == num_videos:
        raise DataError(
            f"{root}: none of its {num_videos:,} {split} videos has optical flow by {method}",
            hint=f"{place} has each with its reason",
        )
    done = "left out" if split == "train" else "counted as wrong"
    is_one = len(paths) == 1
    named = sorted(paths)[:_NAMES_SHOWN] + ["..."] * (len(paths) > _NAMES_SHOWN)
    return (
        f"{len(paths):,} of {num_videos:,} {split} videos {'has' if is_one else 'have'} no optical "
        f"flow by {method} and {'is' if is_one else 'are'} {done}: {', '.join(named)} "
        f"({place} says why)"
    )
