"""Facts that a run or a result is known by: machine and versions, videos, weights.

Hashes tell whether two numbers are about the same thing.
"""

import hashlib
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stsm_cli import __version__
from stsm_cli.config.run_identity import file_sha256
from stsm_cli.cores import cpu_name
from stsm_cli.data.counts import read_counts
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.videos import Videos
from stsm_cli.engine.distributed import current_world
from stsm_cli.engine.doctor import versions
from stsm_cli.printable import command_line, harmless

_REENCODED = re.compile(r"videos_\d+g\d+(q\d+)?")
"""What `prepare.transcode.Encoding` calls a folder; `prepare` takes no such one for the user's."""


def describe_environment(device: torch.device, decoder: str) -> dict[str, Any]:
    """Versions, device and command of this process."""
    packages = ("torch", "torchvision", "decord", "av", "numpy")
    return {
        "stsm": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": versions(packages),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processes": current_world().size,
        "tf32": {
            "matmul": torch.backends.cuda.matmul.allow_tf32,
            "convolution": torch.backends.cudnn.allow_tf32,
        },
        "decoder": decoder,
        "command": harmless(command_line(*sys.argv[1:])),  # what is not UTF-8 is never read again
    }


def identify_data(videos: Videos) -> dict[str, Any]:
    """The videos behind a result, and who decoded them.

    Returns:
        `list_sha256` (of the split's CSV, as `sha256sum` prints it), `class_hash`, `num_in_lists`
        (how many the data set's own lists name, usable or not; None where it was not verified),
        `decoder`, and `reencoded` (the folder of videos that `stsm prepare --short-side` made).

    Raises:
        DataError: The data set's report is not readable.
    """
    manifest = videos.manifest
    counts = read_counts(manifest.root, manifest.split)
    return {
        "list_sha256": _list_sha256(manifest.root / "manifest" / f"{manifest.split}.csv"),
        "class_hash": manifest.class_hash,
        "num_in_lists": None if counts is None else counts.listed,
        "decoder": videos.decoder,
        "reencoded": _reencoded(manifest),
    }


def _reencoded(manifest: Manifest) -> str | None:
    """The folder of re-encoded videos that all of a split's lie in, if they do."""
    folder = manifest.records[0].path.partition("/")[0]
    return folder if _REENCODED.fullmatch(folder) else None


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over names and values of the tensors of `model`, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _commit() -> str | None:
    """The commit of the checkout this package runs from, with `+` if it has local changes."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return None
    return done.stdout.strip() or None


def _list_sha256(path: Path) -> str | None:
    """None where there is no such file: the list was made in memory."""
    return file_sha256(path) if path.is_file() else None
