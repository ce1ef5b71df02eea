"""The page on what probes tell of the generated sets, and the file that it is made from."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, fmean
from typing import NamedTuple

from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from stsm_cli.analysis.probes import FOLDS, GRID, PACKETS, SMALL, Accuracies
from stsm_cli.analysis.template import fill
from stsm_cli.data.generated import GENERATED
from stsm_cli.printable import markdown
from stsm_cli.stored import STRICT

PROBES, PROBES_PAGE = "probes.json", "probes.md"
LIMIT = 60
"""Percent that no probe on at most ten numbers should pass."""
_CLEAR = 3  # standard errors above chance


@dataclass(frozen=True, config=STRICT)
class SetProbes:
    """What the probes tell of a set."""

    generator: str
    """Name and version of what draws the set."""
    videos_a_pair: PositiveInt
    """Videos of the two classes of a pair, all splits together."""
    draws: dict[str, Accuracies]
    """By the number of the draw."""


@dataclass(frozen=True, config=STRICT)
class Probes:
    """What `probes.json` holds."""

    command: str
    """The command that made it."""
    sets: dict[str, SetProbes]


class Told(NamedTuple):
    """What a probe tells of a pair of classes."""

    probe: str
    factor: str
    pair: str
    by_draw: tuple[float, ...]
    """Accuracy in percent on each draw."""

    @property
    def mean(self) -> float:
        """Accuracy in percent, mean over the draws."""
        return fmean(self.by_draw)


def told_of(probed: SetProbes) -> list[Told]:
    """What each probe tells of each pair of a set, in the order of the card."""
    first, *_ = probed.draws.values()
    return [
        Told(name, factor, pair, tuple(of[name][factor][pair] for of in probed.draws.values()))
        for name, by_factor in first.items()
        for factor, pairs in by_factor.items()
        for pair in pairs
    ]


def probes_page(probes: Probes) -> str:
    """The page of what was kept, as Markdown."""
    return fill(
        "probes.md",
        command=probes.command,
        small=SMALL,
        folds=FOLDS,
        limit=LIMIT,
        packets=PACKETS,
        grid=GRID,
        sets=[_section(name, probed) for name, probed in probes.sets.items()],
    )


def _section(name: str, probed: SetProbes) -> dict[str, object]:
    """A set's part of the page, by the names of the template."""
    told, draws = told_of(probed), list(probed.draws)
    error = 100 * sqrt(0.25 / probed.videos_a_pair)  # of a share of one half
    error_of_mean = error / sqrt(len(draws))
    small = [one for one in told if one.probe in SMALL]
    others = dict.fromkeys(one.probe for one in told if one.probe not in SMALL)
    return {
        "label": GENERATED[name].label,
        "generator": probed.generator,
        "draws": draws,
        "videos": probed.videos_a_pair,
        "table": table(told),
        "error": f"{error:.1f}",
        "error_of_mean": f"{error_of_mean:.1f}",
        "findings": [
            _on_the_mean(small),
            _on_single_draws(small, draws),
            _clear(small, error_of_mean),
            *(_of_other(other, [one for one in told if one.probe == other]) for other in others),
        ],
    }


def table(told: Sequence[Told]) -> str:
    """A line a probe, a column a factor: mean over pairs and draws, and the pair told best."""
    factors = list(dict.fromkeys(one.factor for one in told))
    by_probe: dict[str, dict[str, list[Told]]] = {}
    for one in told:
        by_probe.setdefault(one.probe, {}).setdefault(one.factor, []).append(one)
    rows = [[name, *(_cell(of[factor]) for factor in factors)] for name, of in by_probe.items()]
    return markdown(["probe", *factors], rows)


def _cell(pairs: Sequence[Told]) -> str:
    best = _best(pairs)
    draws = ", ".join(f"{accuracy:.1f}" for accuracy in best.by_draw)
    mean = fmean(one.mean for one in pairs)
    return f"{mean:.0f}, at most {best.mean:.1f} ({best.pair}: {draws})"


def _best(told: Sequence[Told]) -> Told:
    return max(told, key=lambda one: one.mean)


def _on_the_mean(small: Sequence[Told]) -> str:
    """Whether a probe on at most ten numbers passes the limit, and which."""
    passing = [one for one in small if one.mean > LIMIT]
    found = _listed(passing) or f" in any pair; the most is {_named(_best(small))}"
    which = "these" if passing else "no"
    return f"On the mean of the draws {which} probes on at most ten numbers pass {LIMIT} %{found}."


def _on_single_draws(small: Sequence[Told], draws: Sequence[str]) -> str:
    """The same of each draw by itself, of all of which the numbers are `draws`."""
    passing = [
        f"`{one.probe}` on {one.pair} ({accuracy:.1f} on draw {draw})"
        for one in small
        for draw, accuracy in zip(draws, one.by_draw, strict=True)
        if accuracy > LIMIT
    ]
    found = f": {', '.join(passing)}" if passing else ""
    of_all = f"{len(passing) or 'none'} of their {len(small) * len(draws)} values"
    return f"On single draws {of_all} pass {LIMIT} %{found}."


def _clear(small: Sequence[Told], error: float) -> str:
    """The means above chance by more than chance makes them, whose standard error is `error`."""
    clear = [one for one in small if one.mean > 50 + _CLEAR * error]
    by_chance = len(small) * NormalDist().cdf(-_CLEAR)
    return (
        f"{len(clear) or 'None'} of their {len(small)} means lie more than {_CLEAR} standard "
        f"errors above chance, where chance alone puts {by_chance:.1f}{_listed(clear)}."
        f"{' There the set leaks.' if clear else ''}"
    )


def _of_other(name: str, told: Sequence[Told]) -> str:
    """A sentence on a probe on more numbers."""
    passing = [f"{one.pair} ({one.mean:.1f})" for one in told if one.mean > LIMIT]
    best = _best(told)
    places = ", ".join(passing) or f"no pair, at most {best.mean:.1f} ({best.pair})"
    return f"`{name}` passes {LIMIT} % on the mean of the draws in {places}."


def _listed(told: Sequence[Told]) -> str:
    return f": {', '.join(map(_named, told))}" if told else ""


def _named(one: Told) -> str:
    return f"`{one.probe}` on {one.pair} ({one.mean:.1f})"
