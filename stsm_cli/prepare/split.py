"""A training and a validation part, drawn by chance, of videos that have no split of their own."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence

from stsm_cli.prepare.matching import Entry
from stsm_cli.prepare.tree import stem

_NAMES_SHOWN = 3
_UCF101 = re.compile(r"v_.+_g(\d+)_c\d+")  # clips of one group are cut from the same video


def seeded_split(
    entries: Sequence[Entry], val_share: float, seed: int
) -> tuple[dict[str, list[Entry]], list[str]]:
    """The entries as `train` and `val`, and what to say about it.

    Each class is split for itself; clips that UCF101's names put into one group stay together. A
    class keeps something to train on, and gives something to validate on if it has two groups. The
    order is that of SHA-256, so a video that is added later moves few others.

    Args:
        entries: Videos.
        val_share: Share of each class for validation, between 0 and 1.
        seed: Another seed, another split.
    """
    classes: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        classes[entry.class_name][_group(entry)].append(entry)
    chosen: set[str] = set()
    for class_name, groups in classes.items():
        wanted = max(1, round(val_share * sum(map(len, groups.values()))))
        order = sorted(groups, key=lambda group: _lot(f"{seed}/{class_name}/{group}"))
        for group in order[:-1]:
            if wanted > 0:
                chosen.update(entry.name for entry in groups[group])
                wanted -= len(groups[group])
    splits = {
        "train": [entry for entry in entries if entry.name not in chosen],
        "val": [entry for entry in entries if entry.name in chosen],
    }
    notes = [f"no split found: {val_share:.0%} of each class drawn for validation, seed {seed}"]
    if any(_UCF101.fullmatch(stem(entry.name)) for entry in entries):
        notes.append("clips of one UCF101 group (v_X_gNN_cMM) are in the same split")
    alone = sorted(name for name, groups in classes.items() if len(groups) == 1)
    if alone:
        shown = ", ".join(alone[:_NAMES_SHOWN]) + (", ..." if len(alone) > _NAMES_SHOWN else "")
        notes.append(f"classes with too few videos to validate on: {len(alone)} ({shown})")
    return splits, notes


def _group(entry: Entry) -> str:
    match = _UCF101.fullmatch(stem(entry.name))
    return match[1] if match else entry.name


def _lot(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
