"""Videos that are byte for byte the same as others: where a split parts them, the test is known."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TypeVar

Key = TypeVar("Key")


def find_copies(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Videos below `root` that are copies of an earlier one of `paths`, each with that one.

    Of files of equal size the beginnings are read, and only where these agree the rest. One that
    cannot be read is left to the verification.
    """
    by_size = _together(paths, lambda path: (root / path).stat().st_size or None)
    by_start = _together(chain(*by_size), lambda path: _start(root / path))
    alike = list(chain(*by_start))
    first: dict[bytes, str] = {}
    copies = {}
    for path in alike:
        with suppress(OSError):
            original = first.setdefault(_sha256(root / path), path)
            if original != path:
                copies[path] = original
    return copies


def _together(paths: Iterable[str], key: Callable[[str], Key | None]) -> list[list[str]]:
    """Paths with an equal key, where there are several; None, as of an empty file, equals none."""
    groups: dict[Key, list[str]] = defaultdict(list)
    for path in paths:
        with suppress(OSError):
            if (found := key(path)) is not None:
                groups[found].append(path)
    return [several for several in groups.values() if len(several) > 1]


def _start(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.sha256(file.read(1 << 16)).digest()


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
