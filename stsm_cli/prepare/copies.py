"""Videos that are byte for byte the same as others: where a split parts them, the test is known."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def find_copies(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Videos below `root` that are copies of an earlier one of `paths`, each with that one.

    Only files of equal size are read. One that cannot be read is left to the verification.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        with suppress(OSError):
            by_size[(root / path).stat().st_size].append(path)
    by_size.pop(0, None)  # empty files are broken, and told as such
    alike = [path for several in by_size.values() if len(several) > 1 for path in several]
    first: dict[bytes, str] = {}
    copies = {}
    for path in alike:
        with suppress(OSError):
            original = first.setdefault(_sha256(root / path), path)
            if original != path:
                copies[path] = original
    return copies


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
