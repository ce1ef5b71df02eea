"""Identity of a run: its recipe with the weights it starts from, its videos, and the code.

All of it is content. A path is no part of it: files and data sets may move.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stsm_cli.config.load import recipe_hash
from stsm_cli.config.schema import Recipe

NUMERICS = 1
"""The code that makes the numbers. Raise it by hand with a change after which the same recipe gives
other numbers on the same videos (sampling, crops, pixels, networks, optimiser, average of views):
what was recorded before is then run again, and runs that are begun are not continued. What only the
last digits of floating point show, or another machine, is no reason."""


@dataclass(frozen=True)
class Identity:
    """Facts that tell two runs apart.

    Attributes:
        recipe: Hash of the recipe, the weights to start from by their content.
        data: What the videos are known by; None where that is not known.
        numerics: `NUMERICS` of the code that ran it.
    """

    recipe: str
    data: str | None
    numerics: int

    def is_same(self, other: "Identity") -> bool:
        """Tell whether the two are of one run, as far as their data are known."""
        same_data = None in (self.data, other.data) or self.data == other.data
        return self.recipe == other.recipe and self.numerics == other.numerics and same_data


def content_hash(recipe: Recipe, init_sha256: str | None) -> str:
    """The recipe's hash, with the content in place of the path of the weights to start from.

    Args:
        init_sha256: Of the file `model.init`; None: there is none, or it is known by its path only.
    """
    if recipe.model.init is not None and init_sha256 is not None:
        model = recipe.model.model_copy(update={"init": f"sha256:{init_sha256}"})
        recipe = recipe.model_copy(update={"model": model})
    return recipe_hash(recipe)


def init_sha256(recipe: Recipe) -> str | None:
    """SHA-256 of the file that `model.init` names; None where it names none that can be read."""
    if recipe.model.init is None:
        return None
    path = Path(recipe.model.init)
    try:
        now = path.stat()
        return _file_sha256(path, now.st_size, now.st_mtime_ns) if path.is_file() else None
    except OSError:  # whatever needs its weights reports it
        return None


@lru_cache
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Of a file as it is; `size` and `mtime_ns` tell when it is another."""
    return file_sha256(path)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
