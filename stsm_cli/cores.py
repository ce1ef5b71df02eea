"""The CPU: its name, and the number of cores there are to share out among processes and threads."""

import os
import platform
import re
from pathlib import Path


def num_cores() -> int:
    """The CPU cores this process may use: of a cluster's machine often only some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name(system: Path = Path("/")) -> str:
    """The processor's name, as Linux tells it; elsewhere its kind."""
    try:
        text = (system / "proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def with_vectors(cpu: str, capability: str | None) -> str:
    """A processor's name and its vector instructions: CPUs with and without may share a name."""
    return f"{cpu} with {capability}" if capability else cpu
