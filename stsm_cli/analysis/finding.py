"""What an audit is made of: findings, and the facts that are quoted rather than computed."""

from dataclasses import dataclass
from functools import lru_cache

from stsm_cli.analysis.definition import read_definition
from stsm_cli.config.schema import Section
from stsm_cli.resources import resource_dir

KINDS = ("holds", "does not hold", "inexact", "contradiction", "not stated", "undecided", "open")
"""How a verdict begins."""


@dataclass(frozen=True)
class Finding:
    """One statement of the paper, and what comes of checking it."""

    where: str
    claim: str
    printed: str
    computed: str
    verdict: str
    """One of KINDS, a colon, and the reason in a few words."""
    quotes: tuple[str, ...] = ()
    """Names of the facts that `computed` rests on, in `datasets/paper/elsewhere.yaml`."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the quoted facts stand, each once."""
        return tuple(dict.fromkeys(quoted(name).source for name in self.quotes))

    @property
    def kind(self) -> str:
        """What the verdict comes to."""
        return self.verdict.split(":")[0]


class Fact(Section):
    """Something another system's public repository says, as it stands there."""

    value: str
    source: str
    """Repository, version where it matters, and file."""


class _Facts(Section):
    facts: dict[str, Fact]


@lru_cache
def _facts() -> dict[str, Fact]:
    return read_definition(resource_dir("datasets") / "paper" / "elsewhere.yaml", _Facts).facts


def quoted(name: str) -> Fact:
    """The quoted fact of this name in `datasets/paper/elsewhere.yaml`.

    Raises:
        KeyError: There is none.
    """
    return _facts()[name]
