"""Parts of an audit: findings, and the facts that are quoted rather than computed."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from stsm_cli.analysis.definition import read_definition
from stsm_cli.config.kinds import Section
from stsm_cli.resources import resource_dir

FindingKind = Literal[
    "holds", "does not hold", "inexact", "contradiction", "not stated", "undecided", "open"
]
"""Beginning of a verdict."""
KINDS: tuple[FindingKind, ...] = get_args(FindingKind)


@dataclass(frozen=True)
class Finding:
    """One statement of the paper, and what comes of checking it."""

    where: str
    claim: str
    printed: str
    computed: str
    kind: FindingKind
    because: str
    is_read: bool = False
    """True if the verdict is somebody's, from reading: nothing computes it."""
    facts: tuple[str, ...] = ()
    """Names of the facts that `computed` rests on, in `datasets/paper/elsewhere.yaml`."""

    @property
    def heading(self) -> str:
        """The claim with a capital, but for a Greek letter, whose capital says something else."""
        first = self.claim[0]
        return first.upper() + self.claim[1:] if first.isascii() else self.claim

    @property
    def sources(self) -> tuple[str, ...]:
        """Places of the quoted facts, each once."""
        return tuple(dict.fromkeys(known_facts()[name].source for name in self.facts))


class Fact(Section):
    """Something another system's public repository says, as it stands there."""

    value: str
    source: str
    """Repository, version where it matters, and file."""


class _Facts(Section):
    facts: dict[str, Fact]


@lru_cache
def known_facts() -> dict[str, Fact]:
    """The facts of `datasets/paper/elsewhere.yaml`, by name."""
    return read_definition(resource_dir("datasets") / "paper" / "elsewhere.yaml", _Facts).facts
