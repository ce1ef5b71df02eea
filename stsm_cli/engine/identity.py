"""What a result belongs to: hashes that tell whether two numbers are about the same thing."""

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from stsm_cli.data.counts import read_counts
from stsm_cli.data.videos import Videos


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


def _file_sha256(path: Path) -> str | None:
    """None where there is no such file: the list was made in memory."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
