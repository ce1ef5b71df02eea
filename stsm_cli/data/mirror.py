"""The effect of a mirror on a data set's classes: `left` becomes `right`, most stay the same.

The pairs are those of the first of these that has any: ROOT/manifest/mirror_pairs.csv, the data
set's card, and in a folder of one's own the names of the classes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stsm_cli.config.schema import DataConfig, Flip
from stsm_cli.data.catalog import IntArray, Pairs, load_card, swapped_labels
from stsm_cli.data.manifest import mirror_pairs_path, read_mirror_pairs

_OPPOSITES = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
    "cw": "ccw",
    "ccw": "cw",
}
_ANYWHERE = re.compile(r"counterclockwise|clockwise|left|right|\bccw\b|\bcw\b")
_SIDE = re.compile(r"\b(left|right|(counter)?clockwise|c?cw)(wards?|hand|handed|side|most)?\b")
_PAIRS_SHOWN = 5


@dataclass(frozen=True)
class Mirror:
    """The pairs of classes that a mirror swaps.

    Attributes:
        pairs: Their names.
        source: Where they are stated.
        alone: Classes of a folder that name a side, where no class names the other.
    """

    pairs: Pairs
    source: str
    alone: tuple[str, ...] = ()

    def labels(self, classes: Sequence[str]) -> IntArray:
        """For each label the label of its mirror image, (K,).

        Raises:
            DataError: A pair names a class that `classes` lacks.
        """
        return swapped_labels(self.source, self.pairs, classes)

    def flip(self, config: DataConfig) -> Flip:
        """The recipe's way of mirroring in training.

        ours: of a folder, where the recipe does not say, in the way that keeps labels true.
        """
        is_open = config.dataset == "folder" and "flip" not in config.model_fields_set
        return "label_aware" if is_open and self.pairs else config.flip

    def __str__(self) -> str:
        shown = [f"{first} and {second}" for first, second in self.pairs[:_PAIRS_SHOWN]]
        more = len(self.pairs) - len(shown)
        return f"{', '.join(shown)}{f' and {more} more pairs' if more else ''} (by {self.source})"


def find_mirror(dataset: str, classes: Sequence[str], root: Path | None = None) -> Mirror:
    """The effect of a mirror on `classes`, those of a data set at `root`.

    Args:
        dataset: As recipes call it.
        classes: In label order.
        root: Where a file may name the pairs; None: nowhere.

    Raises:
        DataError: The file is wrong; names it and the line.
    """
    if root is not None and (written := written_mirror(root, classes)) is not None:
        return written
    card = load_card(dataset)
    if card.num_classes is not None:  # a known set: its card knows them all; a part has fewer
        pairs = tuple(pair for pair in card.mirror_pairs if not set(pair).isdisjoint(classes))
        return Mirror(pairs, card_source(dataset))
    pairs = pair_names(classes)
    paired = {name for pair in pairs for name in pair}
    sided = (name for name in classes if _SIDE.search(_words(name)))
    return Mirror(pairs, "their names", tuple(name for name in sided if name not in paired))


def written_mirror(root: Path, classes: Sequence[str]) -> Mirror | None:
    """What the own file of the data set at `root` names; None where it has none.

    Raises:
        DataError: The file is wrong; names it and the line.
    """
    written = read_mirror_pairs(root, classes)
    return None if written is None else Mirror(written, str(mirror_pairs_path(root)))


def card_source(dataset: str) -> str:
    """The source that a `Mirror` of a data set's card names."""
    return f"datasets/{dataset}.yaml"


def pair_names(classes: Iterable[str]) -> Pairs:
    """Names that become each other where left and right, or the ways around, are swapped.

    Capitals and what stands between words do not matter: `turn left` and `Turn-Right`, `LeftHand`
    and `RightHand`, `rotate_cw` and `rotate_ccw`, `clockwise` and `anti-clockwise`.
    """
    names: dict[str, list[str]] = {}
    for name in classes:
        names.setdefault(_words(name), []).append(name)
    pairs = []
    for words, (name, *others) in names.items():
        partners = names.get(_ANYWHERE.sub(lambda found: _OPPOSITES[found[0]], words), [])
        # of two names that read alike, neither is surely the partner
        if len(partners) == 1 and not others and name < partners[0]:
            pairs.append((name, partners[0]))
    return tuple(pairs)


def _words(name: str) -> str:
    """The words of a name, in small letters, with one space between them."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = " ".join(re.findall(r"[^\W\d_]+|\d+", parted)).casefold()
    return re.sub(r"\b(counter|anti) ?clockwise\b", "counterclockwise", words)
