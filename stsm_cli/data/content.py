"""Identities of a data set's videos, wherever it lies."""

import hashlib
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path

from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from stsm_cli.config.kinds import FlowMethod
from stsm_cli.data.deadline import pool_of
from stsm_cli.data.flow import flow_command, flow_report_path
from stsm_cli.data.generated import GENERATED
from stsm_cli.data.manifest import (
    SPLITS,
    Manifest,
    has_manifest,
    manifest_digest,
    read_manifest,
)
from stsm_cli.errors import DataError
from stsm_cli.stored import STRICT, read_stored

THREADS = 16  # ours: a file system on the network answers one question after another, slowly


def split_id(dataset: str, manifest: Manifest) -> str:
    """The identity of the videos of a split.

    Of a generated set it is the version of its generator: the recipe says the rest, and the bytes
    of its videos differ with the encoder. Of others it is a hash of the class names and of the
    path below the root, label, number of frames, and size in bytes of each video, in their order.
    """
    if dataset in GENERATED:
        return GENERATED[dataset].identify()
    digest = hashlib.sha256("\n".join(manifest.classes).encode())
    with pool_of(THREADS) as pool:
        paths = (manifest.root / record.path for record in manifest.records)
        for record, size in zip(manifest.records, pool.map(_size, paths), strict=True):
            line = f"\n{record.path},{record.label},{record.num_frames},{size}"
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def made_files(dataset: str, splits: Sequence[Manifest]) -> dict[str, str]:
    """The identity of the files of a generated set's splits, by split; of other sets nothing.

    A hash of the path and the bytes of each video, in their order. It is no part of what a run is
    known by, for another encoder makes other bytes of the same frames; it tells whether it did.
    """
    if dataset not in GENERATED:  # of these `split_id` is of the files
        return {}
    return {manifest.split: _files_hash(manifest) for manifest in splits}


def _files_hash(manifest: Manifest) -> str:
    digest = hashlib.sha256()
    with pool_of(THREADS) as pool:
        paths = [record.path for record in manifest.records]
        hashes = pool.map(_hash, (manifest.root / path for path in paths))
        for path, content in zip(paths, hashes, strict=True):
            digest.update(f"{path},{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def data_id(ids: Sequence[str]) -> str:
    """The identity of all that a run reads together: its splits, and their flow."""
    return "+".join(dict.fromkeys(ids))


def flow_id(method: FlowMethod, root: Path) -> str | None:
    """The identity of a set's flow: method, size and version; None where it is not computed.

    Raises:
        DataError: Its report is damaged.
    """
    if (made := _flow_report(method, root)) is None:
        return None
    return f"flow:{made.method}@{made.short_side_px}/{made.version}"


def check_flow(method: FlowMethod, root: Path) -> None:
    """Refuse flow of other videos than the manifests list: the set was prepared again since.

    Raises:
        DataError: It is; or its report is damaged.
    """
    made = _flow_report(method, root)
    for split, digest in (made.manifests if made else {}).items():
        if manifest_digest(root, split) != digest:
            raise DataError(
                f"{root}: its optical flow by {method} is of another list of {split} videos than "
                "the manifest holds now",
                hint=f"{flow_command(root, method)} makes what is missing",
            )


def _flow_report(method: FlowMethod, root: Path) -> "_FlowReport | None":
    path = flow_report_path(root, method)
    if not path.is_file():
        return None
    hint = f"`stsm prepare flow` by {method} writes it again"
    return read_stored(path, _FlowReport, "a report on flow", DataError, hint)[0]


def without_flow(data_id: str) -> str:
    """The identity of the videos alone; all that is known of flow that stsm 0.6 read."""
    return data_id.partition("+flow:")[0]


@dataclass(frozen=True, config=STRICT)
class _FlowReport:
    """Facts of the report on flow that change numbers."""

    method: FlowMethod
    short_side_px: PositiveInt
    version: PositiveInt
    manifests: dict[str, str] = field(default_factory=dict)
    """Digests of the manifests whose videos it is of, by split; stsm 0.7 wrote none."""


def data_id_at(dataset: str, root: Path) -> str | None:
    """The same of the data set at `root`; None where none is prepared there.

    Raises:
        DataError: A manifest is wrong.
    """
    if dataset in GENERATED:
        return GENERATED[dataset].identify()
    if not all(has_manifest(root, split) for split in SPLITS):
        return None
    return data_id([split_id(dataset, read_manifest(root, split)) for split in SPLITS])


def _hash(path: Path) -> str:
    """Of a file's content; empty of a file that is gone, which no frame is read from either."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _size(path: Path) -> int:
    """In bytes; -1 of a file that is gone, which no frame is read from either."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
