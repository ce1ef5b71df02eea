"""Videos that are byte for byte the same: a split that parts them tests what is trained on."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path

from stsm_cli.config.run_identity import file_sha256


def find_copies(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Videos below `root` that are copies of an earlier one of `paths`, each with that one.

    Links to one file are copies, which need no reading. Of other files of equal size the beginnings
    are read, and only where these agree the rest. One that cannot be read is left to the
    verification.
    """
    files = _together(root, paths, _identity)
    alike = [[links[0] for links in files]]
    for key in (_size, _start, file_sha256):
        groups = _together(root, chain(*alike), key)
        alike = [group for group in groups if len(group) > 1]
    first = {path: group[0] for group in alike for path in group}
    copies = {path: first.get(links[0], links[0]) for links in files for path in links}
    return {path: original for path, original in copies.items() if path != original}


def _together(root: Path, paths: Iterable[str], key: Callable[[Path], Hashable]) -> list[list[str]]:
    """Paths with an equal key, in their order; None, as of an empty file, leaves one out."""
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for path in paths:
        with suppress(OSError):
            if (found := key(root / path)) is not None:
                groups[found].append(path)
    return list(groups.values())


def _identity(path: Path) -> tuple[int, int] | None:
    status = path.stat()
    return (status.st_dev, status.st_ino) if status.st_size else None


def _size(path: Path) -> int:
    return path.stat().st_size


def _start(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        return _size(path), hashlib.sha256(file.read(1 << 16)).digest()
