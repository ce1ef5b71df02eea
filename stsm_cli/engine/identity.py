"""What a result belongs to: hashes that tell whether two numbers are about the same thing."""

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from stsm_cli.config.run_identity import NUMERICS, init_sha256
from stsm_cli.data.counts import read_counts
from stsm_cli.data.videos import Videos
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import CheckpointError, DataError


def identify_data(videos: Videos) -> dict[str, Any]:
    """The videos behind a result, and who decoded them.

    Returns:
        `list_sha256` (of the split's CSV, as `sha256sum` prints it), `class_hash`, `num_in_lists`
        (how many the data set's own lists name, usable or not; None where nobody verified the set)
        and `decoder`.

    Raises:
        DataError: The data set's report is not readable.
    """
    manifest = videos.manifest
    counts = read_counts(manifest.root, manifest.split)
    return {
        "list_sha256": _file_sha256(manifest.root / "manifest" / f"{manifest.split}.csv"),
        "class_hash": manifest.class_hash,
        "num_in_lists": None if counts is None else counts.listed,
        "decoder": videos.decoder,
    }


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over names and values of the tensors of `model`, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def changed_start(folder: RunFolder) -> str | None:
    """Says so where the file that the run started from holds other weights now."""
    recipe = folder.recipe()
    now = init_sha256(recipe)
    if now is None or folder.about().init_sha256 in (None, now):
        return None
    return f"{recipe.model.init}: holds other weights than those {folder.path} started from"


def check_origin(folder: RunFolder, data_id: str) -> None:
    """Refuse to continue a run on other videos, or with code that gives other numbers.

    Raises:
        DataError: Names what the videos are known by, at the start and now.
        CheckpointError: Names both versions of the numerics.
    """
    known, elsewhere = folder.about(), "choose another --out to begin anew"
    if known.data_id not in (None, data_id):
        raise DataError(
            f"{folder.path}: was begun on videos known as {known.data_id}, the data set's are "
            f"{data_id}",
            hint=f"name the folder that holds the same videos with --data, or {elsewhere}",
        )
    if known.numerics != NUMERICS:
        raise CheckpointError(
            f"{folder.path}: was begun by stsm {known.stsm} (numerics {known.numerics}), this "
            f"stsm gives other numbers (numerics {NUMERICS})",
            hint=f"finish it with stsm {known.stsm}, or {elsewhere}",
        )


def _file_sha256(path: Path) -> str | None:
    """None where there is no such file: the list was made in memory."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
