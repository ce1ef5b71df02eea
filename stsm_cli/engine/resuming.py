"""Checks before a run is resumed or tested: recipe, classes, mirror, videos, flow, start, code.

torch is not imported here: `stsm train --resume` answers at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stsm_cli.config.load import flatten
from stsm_cli.config.run_identity import NUMERICS, init_sha256
from stsm_cli.config.schema import Recipe
from stsm_cli.data.content import flow_of, without_flow
from stsm_cli.data.flow_report import check_flow, flow_command
from stsm_cli.data.manifest import Manifest, mirror_pairs_path
from stsm_cli.data.mirror import Mirror
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import CheckpointError, DataError
from stsm_cli.printable import command_line, counted


def check_same(folder: RunFolder, recipe: Recipe) -> None:
    """Refuse to continue a run with another recipe.

    A recipe that leaves the number of classes, or a folder's mirroring, to the data agrees with
    any. Weights to start from are the same where their content is.

    Raises:
        CheckpointError: Names the keys that differ, with both values.
    """
    ours, theirs = (dict(flatten(r.model_dump(mode="json"))) for r in (folder.recipe(), recipe))
    if recipe.model.num_classes is None:
        theirs["model.num_classes"] = ours["model.num_classes"]
    if recipe.data.dataset == "folder" and "flip" not in recipe.data.model_fields_set:
        theirs["data.flip"] = ours["data.flip"]
    if theirs["model.init"] != ours["model.init"] and _starts_alike(folder, recipe):
        theirs["model.init"] = ours["model.init"]
    differing = [
        f"{key} is {ours.get(key)} there, {theirs.get(key)} here"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if differing:
        raise CheckpointError(
            f"{folder.path}: belongs to another recipe: {'; '.join(differing)}",
            hint="choose another --out to begin anew; "
            f"`{command_line('train', '--resume', '--out', folder.path)}` continues as it was",
        )


def _starts_alike(folder: RunFolder, recipe: Recipe) -> bool:
    """Tell whether `recipe` names the weights that the run started from, at any path."""
    wanted = init_sha256(recipe)
    return wanted is not None and wanted == folder.about().init_sha256


def left_behind(
    folder: RunFolder, compile_with: str | None, files: Mapping[str, str], *, tensorboard: bool
) -> list[str]:
    """Warnings of a run that goes on without options that it was begun with, or with others.

    Args:
        folder: The run.
        compile_with: The option of now.
        files: Of a generated set, as `made_files` knows its splits now.
        tensorboard: The option of now.
    """
    environment = folder.environment()
    begun, known = environment.get("compile"), environment.get("files") or {}
    others = [split for split, now in files.items() if known.get(split, now) != now]
    told = [
        f"warning: the videos of {split} are not those that the run began with, to the byte: other "
        "numbers than without the break"
        for split in others
    ]
    if begun != compile_with:
        ways = [f"with{'' if way else 'out'} --compile" for way in (begun, compile_with)]
        told.append(
            f"warning: begun {ways[0]}, goes on {ways[1]}: other numbers than without the break"
        )
    if folder.board.is_dir() and not tensorboard:
        told.append(f"warning: {folder.board}: its curves end here, without --tensorboard")
    return told


def check_class_list(folder: RunFolder, manifest: Manifest) -> None:
    """Refuse a data set whose class list is not the one of the training.

    Raises:
        DataError: Names both lists' hashes, and the first class that differs where it is known.
    """
    known = folder.about().class_hash
    if known not in (None, manifest.class_hash):
        raise DataError(
            f"{manifest.root}: its class list ({manifest.class_hash}) is not the one "
            f"of the training ({known}){_first_other(folder.classes() or (), manifest.classes)}"
        )


def _first_other(known: Sequence[str], classes: Sequence[str]) -> str:
    """Where two lists of class names part; nothing where the former is not known."""
    if not known:
        return ""
    if len(known) != len(classes):
        return f": holds {counted(len(classes), 'class', 'classes')}, not {len(known)}"
    others = (
        f": class {label} is {now!r}, it was {before!r}"
        for label, (before, now) in enumerate(zip(known, classes, strict=True))
        if before != now
    )
    return next(others, "")


def check_mirror(folder: RunFolder, recipe: Recipe, mirror: Mirror, root: Path) -> None:
    """Refuse to continue a run whose mirrored videos would get other labels.

    Args:
        folder: The run's.
        recipe: Of both.
        mirror: What swaps now.
        root: The data set.

    Raises:
        DataError: Names the pairs of classes, at the start and now.
    """
    known = folder.about().mirror
    if known is None or recipe.data.flip != "label_aware":
        return
    begun, now = ({frozenset(pair) for pair in one.pairs} for one in (known, mirror))
    if begun == now:
        return
    before, after = (
        Mirror(tuple(sorted(one.pairs, key=lambda pair: set(pair) in begun & now)), one.source)
        for one in (known, mirror)  # what differs comes first: not all may be shown
    )
    raise DataError(
        f"{folder.path}: was begun with mirror images that swap {before}, they now swap {after}",
        hint=f"name the former pairs in {mirror_pairs_path(root)}, or choose another --out to "
        "begin anew",
    )


def check_same_flow(folder: RunFolder, recipe: Recipe, root: Path) -> None:
    """Refuse flow of a data set that was computed otherwise than that of the training.

    Raises:
        DataError: Names both by method, size and version; or there is no flow.
    """
    now = check_flow(root, recipe.data.flow)
    known = flow_of(folder.about().data_id or "")
    if known in (None, now.how):
        return
    short_side = known.partition("@")[2].partition("/")[0]
    raise DataError(
        f"{root}: its optical flow ({now.how}) is not computed as that of the training ({known})",
        hint=f"{flow_command(root, now.method, short_side)} computes flow of that size",
    )


def changed_start(folder: RunFolder) -> str | None:
    """Message where the file that the run started from holds other weights now; else None."""
    recipe = folder.recipe()
    now = init_sha256(recipe)
    if now is None or folder.about().init_sha256 in (None, now):
        return None
    return f"{recipe.model.init}: holds other weights than those {folder.path} started from"


def check_origin(folder: RunFolder, data_id: str) -> None:
    """Refuse to continue a run on other videos, or with code that gives other numbers.

    Raises:
        DataError: Names what the videos are known by, at the start and now.
        CheckpointError: Names both versions of the numerics.
    """
    known, elsewhere = folder.about(), "choose another --out to begin anew"
    if known.data_id not in (None, data_id, without_flow(data_id)):
        raise DataError(
            f"{folder.path}: was begun on videos known as {known.data_id}, the data set's are "
            f"{data_id}",
            hint=f"name the folder that holds the same videos with --data, or {elsewhere}",
        )
    if known.numerics != NUMERICS:
        raise CheckpointError(
            f"{folder.path}: was begun by stsm {known.stsm} (numerics {known.numerics}), this "
            f"stsm gives other numbers (numerics {NUMERICS})",
            hint=f"finish it with stsm {known.stsm}, or {elsewhere}",
        )
