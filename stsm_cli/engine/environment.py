"""What a run ran on: versions, device, commit, command."""

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from stsm_cli import __version__
from stsm_cli.engine.distributed import current_world


def describe_environment(device: torch.device, decoder: str) -> dict[str, Any]:
    """Versions, device and command of this process."""
    packages = ("torch", "torchvision", "decord", "av", "numpy")
    return {
        "stsm": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: version for name in packages if (version := _version(name))},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processes": current_world().size,
        "tf32": {
            "matmul": torch.backends.cuda.matmul.allow_tf32,
            "convolution": torch.backends.cudnn.allow_tf32,
        },
        "decoder": decoder,
        "command": " ".join(["stsm", *sys.argv[1:]]),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


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
