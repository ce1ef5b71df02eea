"""A recipe of another data set, taken to a folder of one's own by `data.dataset: folder` alone.

What belongs to the other set goes: classes are counted in the folder, mirroring follows their
names, as in the recipes of `folder/`. An origin tells what went; `flip` stays as a null until the
tree is validated, for its origin's sake.
"""

from typing import get_args

from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.yaml_strict import Located

FOLDER = "folder"


class _Open(Located):
    """A null that no one wrote: the folder's classes decide."""


def fit_folder(inherited: Located, merged: Located) -> Located:
    """`merged` without what it took over from `inherited` that is of the other data set.

    Args:
        inherited: A recipe's tree.
        merged: The same with a child's, or overrides, merged into it; what these write stays.
    """
    before, after = inherited.section("data"), merged.section("data")
    old, new = before.get("dataset"), after.get("dataset")
    if old is None or new is None or new.value != FOLDER or old.value == FOLDER:
        return merged
    data = {
        key: child
        for key, child in after.items()
        if key not in get_args(GeneratedName) or child is not before.get(key)
    }
    if (flip := data.get("flip")) is not None and flip is before.get("flip"):
        data |= {"flip": _Open(None, _left_open(flip, str(old.value)))}
    merged = merged.with_section("data", data)
    for section, key, value in (("model", "num_classes", None), ("test", "split", "val")):
        merged = _dropped(inherited, merged, section, key, value, of=str(old.value))
    return merged


def without_open(tree: Located) -> Located:
    """`tree` without the mirroring that `fit_folder` leaves to the folder: no value says so."""
    data = tree.section("data")
    if not isinstance(data.get("flip"), _Open):
        return tree
    return tree.with_section("data", {key: child for key, child in data.items() if key != "flip"})


def _left_open(flip: Located, of: str) -> str:
    """The origin of the mirroring that was `flip`, of the set `of`; plain is what it stays."""
    if flip.value == "plain":
        return flip.where
    return (
        f"{flip.where}, in place of {flip.plain()}, which is of {of}; label_aware where "
        "names of classes are mirror images"
    )


def _dropped(
    inherited: Located, merged: Located, section: str, key: str, value: str | None, *, of: str
) -> Located:
    """`merged` with `value` for a key that it took over and that has another one."""
    children = merged.section(section)
    if (old := children.get(key)) is None or old.value == value:
        return merged
    if old is not inherited.section(section).get(key):  # it was written anew
        return merged
    where = f"{old.where}, in place of {old.plain()}, which is of {of}"
    return merged.with_section(section, children | {key: Located(value, where)})
