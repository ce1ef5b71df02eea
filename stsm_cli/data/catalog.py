"""The data-set cards: what is known of a set before a single video is read.

A card (`datasets/NAME.yaml`) is written to be read by people; code uses the classes that are each
other's mirror image or time reversal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stsm_cli.config.load import load_yaml
from stsm_cli.errors import DataError
from stsm_cli.resources import resource_dir

IntArray = npt.NDArray[np.int64]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DatasetCard:
    """A data set.

    Attributes:
        name: As recipes call it.
        title: As people call it.
        num_classes: Classes; None where the videos decide.
        mirror_pairs: Names of classes that a mirror swaps.
        reverse_pairs: Names of classes that playing backwards swaps.
        factors: Pairs of classes by what tells them apart: `appearance`, `motion`, `both`; where
            the card does not say, all reverse pairs by `order`.
    """

    name: str
    title: str
    num_classes: int | None
    mirror_pairs: Pairs
    reverse_pairs: Pairs
    factors: dict[str, Pairs]


def load_card(dataset: str) -> DatasetCard:
    """The card of a data set.

    Raises:
        DataError: There is no such data set.
    """
    card = _read(dataset)
    factors = card.get("pairs", {"order": card["reverse_pairs"]} if card["reverse_pairs"] else {})
    return DatasetCard(
        name=dataset,
        title=card["title"],
        num_classes=card["num_classes"],
        mirror_pairs=_pairs(card["mirror_pairs"]),
        reverse_pairs=_pairs(card["reverse_pairs"]),
        factors={factor: _pairs(pairs) for factor, pairs in factors.items()},
    )


def known_counts(dataset: str) -> dict[str, dict[str, int]]:
    """Known numbers of videos of each split, each by whose count it is.

    Raises:
        DataError: There is no such data set.
    """
    counts: dict[str, dict[str, int]] = _read(dataset)["videos"]
    return counts


def partner_labels(card: DatasetCard, classes: Sequence[str]) -> IntArray:
    """For each label that of the other class of its pair, whatever tells them apart, (K,).

    Raises:
        DataError: The card pairs a class that `classes` lacks.
    """
    pairs = tuple(pair for pairs in card.factors.values() for pair in pairs)
    return swapped_labels(f"datasets/{card.name}.yaml", pairs, classes)


def swapped_labels(source: str, pairs: Pairs, classes: Sequence[str]) -> IntArray:
    """For each label that of the other class of its pair, (K,); without a pair its own.

    Raises:
        DataError: A pair names a class that `classes` lacks; names `source`, who made the pairs.
    """
    label = {name: index for index, name in enumerate(classes)}
    labels = np.arange(len(classes))
    for first, second in pairs:
        for name in (first, second):
            if name not in label:
                raise DataError(
                    f"{source} pairs {name!r}, "
                    f"a class that the list of {len(classes)} classes lacks"
                )
        labels[label[first]], labels[label[second]] = label[second], label[first]
    return labels


def _read(dataset: str) -> Any:  # noqa: ANN401  # YAML
    cards = {path.stem: path for path in resource_dir("datasets").glob("*.yaml")}
    if dataset not in cards:
        raise DataError(f"no data set {dataset!r}", hint=f"there are {', '.join(sorted(cards))}")
    return load_yaml(cards[dataset])


def _pairs(pairs: list[list[str]]) -> Pairs:
    return tuple((first, second) for first, second in pairs)
