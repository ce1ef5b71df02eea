"""Memory that this process can still take, to decide whether a data set fits into it."""

from collections.abc import Iterator
from pathlib import Path

_NO_LIMIT = 2**60  # control groups of the first version write no limit as a number near 2^63


def available_memory(system: Path = Path("/")) -> int | None:
    """Bytes that are free, or would be if the system gave up files it has cached.

    Of the machine, or of the control groups (containers, jobs of a cluster) this process is in,
    where those allow less. None where the system does not tell: elsewhere than on Linux.

    Args:
        system: Where `proc` and `sys` are mounted.
    """
    try:
        lines = (system / "proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    if "MemAvailable" not in fields:
        return None
    free = int(fields["MemAvailable"].split()[0]) * 1024
    return min([free, *_left_by_groups(system)])


def _left_by_groups(system: Path) -> Iterator[int]:
    """Bytes that each control group still allows; none is below 0."""
    for folder, limit_file, usage_file in _groups(system):
        try:
            limit = int((folder / limit_file).read_text())  # ValueError: "max"
            used = int((folder / usage_file).read_text())
            cached = dict(
                line.split() for line in (folder / "memory.stat").read_text().splitlines()
            )
        except (OSError, ValueError):
            continue
        if limit < _NO_LIMIT:
            yield max(0, limit - used + int(cached.get("inactive_file", 0)))


def _groups(system: Path) -> Iterator[tuple[Path, str, str]]:
    """The folder of each group, from this process's own outwards, and its files."""
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root, files = system / "sys/fs/cgroup", ("memory.max", "memory.current")
        if controllers:
            root, files = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        if controllers in ("", "memory"):
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(root):
                    yield folder, *files
