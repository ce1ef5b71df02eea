"""Keys that a recipe leaves to its data set, filled in when it is opened: classes, mirroring.

torch is not imported here: `stsm train --dry-run` answers at once.
"""

from dataclasses import dataclass

from stsm_cli.config.folder import FOLDER
from stsm_cli.config.schema import DataConfig, Recipe
from stsm_cli.data.catalog import load_card
from stsm_cli.data.manifest import Manifest, mirror_pairs_path
from stsm_cli.data.mirror import Mirror, card_source, find_mirror
from stsm_cli.errors import DataError

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Fitted:
    """A recipe for one data set.

    Attributes:
        recipe: With nothing left open.
        mirror: What a mirror does to the classes.
        notes: What a user should know of how it was filled in, a line each.
    """

    recipe: Recipe
    mirror: Mirror
    notes: tuple[str, ...]


def fit_recipe(recipe: Recipe, manifest: Manifest) -> Fitted:
    """The recipe with what it leaves open taken from the data set's classes.

    Raises:
        DataError: It names another number of classes, or `label_aware` where no classes swap, or
            one lacks its mirror image.
    """
    classes = manifest.classes
    if recipe.model.num_classes not in (None, len(classes)):
        raise DataError(
            f"{manifest.root}: holds {len(classes)} classes, "
            f"the recipe's model.num_classes is {recipe.model.num_classes}",
            hint=_as_many(recipe.data, len(classes)),
        )
    mirror = find_mirror(recipe.data.dataset, classes, manifest.root)
    notes = _mirror_notes(recipe.data, mirror, manifest)
    model = recipe.model.model_copy(update={"num_classes": len(classes)})
    data = recipe.data.model_copy(update={"flip": mirror.flip(recipe.data)})
    return Fitted(recipe.model_copy(update={"model": model, "data": data}), mirror, notes)


def _as_many(config: DataConfig, num_classes: int) -> str:
    if config.dataset == FOLDER:
        return "`--set model.num_classes=null` takes as many as the set has"
    return f"`--set model.num_classes={num_classes}` takes as many"


def _check_pairs(mirror: Mirror, manifest: Manifest) -> None:
    """Refuse a part of a known set that has one class of a pair alone."""
    for pair in mirror.pairs:
        there = [name for name in pair if name in manifest.classes]
        if len(there) == 1:
            (absent,) = set(pair) - set(there)
            raise DataError(
                f"{manifest.root}: the mirror image of its class {there[0]!r} is {absent!r} "
                f"(by {mirror.source}), which is none of its {len(manifest.classes)} classes",
                hint="data.flip=none does not mirror, plain keeps labels",
            )


def _mirror_notes(config: DataConfig, mirror: Mirror, manifest: Manifest) -> tuple[str, ...]:
    flip, file = mirror.flip(config), mirror_pairs_path(manifest.root)
    by_card = mirror.source == card_source(config.dataset)
    knows = by_card and load_card(config.dataset).mirror_pairs  # a part of the set has none of them
    if flip == "label_aware" and not mirror.pairs and not knows:
        raise DataError(
            f"{manifest.root}: data.flip is label_aware, and no two of its "
            f"{len(manifest.classes)} classes are known to be mirror images of each other",
            hint=f"name the pairs in {file}, or take data.flip=plain (labels stay) or none",
        )
    if flip == "label_aware":
        _check_pairs(mirror, manifest)
    if flip == "none" or (flip == "label_aware" and by_card):
        return ()
    notes = []
    if flip != config.flip:
        notes.append(
            f"warning: a mirror swaps classes: {mirror}; data.flip becomes label_aware in this run "
            f"(--set data.flip=plain keeps the labels, none does not mirror)"
        )
    elif flip == "label_aware":
        notes.append(f"mirrored videos swap classes: {mirror}")
    elif mirror.pairs:
        notes.append(
            f"warning: mirrored videos keep their labels, though a mirror swaps {mirror}: "
            "data.flip=label_aware swaps them"
        )
    if mirror.alone:
        more = len(mirror.alone) - _NAMES_SHOWN
        names = ", ".join(mirror.alone[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        notes.append(
            f"warning: mirrored videos keep their labels in classes that name a side: {names}; "
            f"data.flip=none does not mirror, {file} names pairs"
        )
    return tuple(notes)
