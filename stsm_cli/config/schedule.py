"""A schedule that a recipe inherits, fitted to the length and the kind that its heir gives it.

Who writes `optim.epochs` alone means the same experiment, longer or shorter. Its origin tells what
was done: `recipes/base/k400.yaml:28, scaled from [40, 80] of 100 epochs`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stsm_cli.config.yaml_strict import Located


def fit_schedule(inherited: Located, merged: Located) -> Located:
    """`merged` with the milestones and the warm-up that it took over from `inherited` fitted.

    Where only the epochs were changed, milestones keep their place as a share of the run, rounded;
    those that then fall on no epoch of it go. A warm-up is shortened likewise. What only another
    schedule or a warm-up has a use for goes with it.

    Args:
        inherited: A recipe's tree.
        merged: The same with a child's, or overrides, merged into it. What is wrong in it stays as
            it is, for the schema to refuse.
    """
    before, after = inherited.section("optim"), dict(merged.section("optim"))
    for key, new in (
        ("milestones_epochs", _milestones(before, after)),
        ("warmup_epochs", _warmup(before, after)),
        ("warmup_from", _without_warmup("warmup_from", 0.0, after)),
        ("warmup_by", _without_warmup("warmup_by", "step", after)),
    ):
        if new is not None and after[key] is before.get(key):  # else it was written anew
            after[key] = new
    if after == merged.section("optim"):
        return merged
    return merged.with_section("optim", after)


def fitted(origins: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each key that was fitted to its heir, and what was done, by the origins of the keys."""
    for key, origin in origins.items():
        if found := re.search(", ((scaled from|dropped:|in place of) .*)", origin):
            yield key, found[1]


def _milestones(before: dict[str, Located], after: dict[str, Located]) -> Located | None:
    old = before.get("milestones_epochs")
    if old is None or not isinstance(old.value, list) or not old.value:
        return None
    schedule = after.get("schedule")
    if schedule is not before.get("schedule") and schedule and schedule.value != "step":
        return Located([], f"{old.where}, dropped: {old.plain()} belong to schedule: step")
    lengths = _lengths(before, after)
    if lengths is None or not all(_is_count(child.value) for child in old.value):
        return None
    was, now = lengths
    scaled = sorted({_rounded(child.value * now, was) for child in old.value})
    where = _scaled_from(old, was)
    return Located([Located(epoch, where) for epoch in scaled if 0 < epoch < now], where)


def _warmup(before: dict[str, Located], after: dict[str, Located]) -> Located | None:
    old, lengths = before.get("warmup_epochs"), _lengths(before, after)
    if old is None or lengths is None or type(old.value) not in (int, float):
        return None
    was, now = lengths
    if now > was or not 0 < old.value < was:  # ours: a longer run settles no later
        return None
    return Located(round(old.value * now / was, 6), _scaled_from(old, was))


def _without_warmup(key: str, default: float | str, after: dict[str, Located]) -> Located | None:
    old, warmup = after.get(key), after.get("warmup_epochs")
    if old is None or old.value == default or warmup is None or warmup.value != 0:
        return None
    return Located(default, f"{old.where}, dropped: {old.plain()} belongs to a warm-up")


def _scaled_from(old: Located, epochs: int) -> str:
    return f"{old.where}, scaled from {old.plain()} of {epochs} epochs"


def _lengths(before: dict[str, Located], after: dict[str, Located]) -> tuple[int, int] | None:
    """The epochs before and after, where they differ."""
    values = [tree["epochs"].value for tree in (before, after) if "epochs" in tree]
    if len(values) < 2 or not all(map(_is_count, values)) or values[0] == values[1]:
        return None
    return values[0], values[1]


def _is_count(value: Any) -> bool:  # noqa: ANN401  # YAML
    return type(value) is int and value > 0


def _rounded(numerator: int, denominator: int) -> int:
    """Their quotient, halves rounded up."""
    return (2 * numerator + denominator) // (2 * denominator)
