"""Identities of a data set's videos, wherever it lies."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from stsm_cli.config.run_identity import file_sha256
from stsm_cli.data.deadline import pool_of
from stsm_cli.data.generated import GENERATED
from stsm_cli.data.manifest import SPLITS, Manifest, has_manifest, read_manifest
from stsm_cli.errors import DataError

THREADS = 16  # ours: a file system on the network answers one question after another, slowly
_GONE = -1
_GONE_ERRORS = (FileNotFoundError, NotADirectoryError)


def split_id(dataset: str, manifest: Manifest) -> str:
    """The identity of the videos of a split.

    Of a generated set it is the version of its generator: the recipe says the rest, and the bytes
    of its videos differ with the encoder. Of others it is `files_id`.
    """
    if dataset in GENERATED:
        return GENERATED[dataset].identify()
    return files_id(manifest)


def files_id(manifest: Manifest) -> str:
    """A hash of the class names, and of what tells one file of a split from another.

    That is the path below the root, label, number of frames, and size in bytes of each video, in
    their order.
    """
    return _files_id(manifest, _sizes(manifest))


def files_differ(manifest: Manifest, known: str) -> bool:
    """True if the files of a split are others than those with the hash `known`.

    Where any is gone it is False: what was made of them stands.
    """
    sizes = _sizes(manifest)
    return _GONE not in sizes and _files_id(manifest, sizes) != known


def _sizes(manifest: Manifest) -> list[int]:
    with pool_of(THREADS) as pool:
        return list(pool.map(_size, (manifest.root / record.path for record in manifest.records)))


def _files_id(manifest: Manifest, sizes: Sequence[int]) -> str:
    digest = hashlib.sha256("\n".join(manifest.classes).encode())
    for record, size in zip(manifest.records, sizes, strict=True):
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


def without_flow(data_id: str) -> str:
    """The identity of the videos alone; all that is known of flow that stsm 0.6 read."""
    return data_id.partition("+flow:")[0]


def flow_of(data_id: str) -> str | None:
    """How the flow was computed that is part of an identity; None where it tells of none."""
    _, _, flow = data_id.partition("+flow:")
    return f"flow:{flow.partition('/without-')[0]}" if flow else None


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
        return file_sha256(path)
    except _GONE_ERRORS:
        return ""
    except OSError as error:
        raise _not_read(path, error) from None


def _size(path: Path) -> int:
    """In bytes; `_GONE` of a file that is gone, which no frame is read from either."""
    try:
        return path.stat().st_size
    except _GONE_ERRORS:
        return _GONE
    except OSError as error:
        raise _not_read(path, error) from None


def _not_read(path: Path, error: OSError) -> DataError:
    """A disk that does not answer now: what is known of the videos would not hold later."""
    return DataError(f"{path}: cannot be read ({error.strerror or error})")
