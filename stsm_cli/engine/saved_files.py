"""Places that commands write to; checked before torch is imported, and before long work."""

from collections.abc import Sequence
from pathlib import Path

from stsm_cli.atomic import try_file
from stsm_cli.config.schema import Recipe
from stsm_cli.errors import UsageError

SCORES, WINDOWS = "scores.csv", "windows.csv"
DEFAULT_WINDOW = 64  # ours: as many frames as dense sampling of 2D networks sees of a video


def check_file(option: str, path: Path) -> None:
    """Refuse a file that could not be written.

    Raises:
        UsageError: It is a folder, or its folder takes no files.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder, not a file")
    try:
        try_file(path)
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written ({error.strerror})") from None


def check_out(out: Path, endings: Sequence[str], *, force: bool) -> None:
    """Refuse a file for `--out` that has another ending, could not be written, or is there.

    Raises:
        UsageError: It is refused; one that is there only without `force`.
    """
    if out.suffix not in endings:
        raise UsageError(f"--out {out}: must end in {' or '.join(endings)}")
    check_file("--out", out)
    if out.exists() and not force:
        raise UsageError(f"--out {out}: exists", hint="choose another name, or add --force")


def check_is_another(file: Path, out: Path, to_do: str) -> None:
    """Refuse to replace the file that is read: what is known of it would be lost.

    Raises:
        UsageError: `out` is `file`, by whatever name.
    """
    if file.exists() and out.exists() and out.samefile(file):
        raise UsageError(
            f"--out {out}: is the file to {to_do}, which stays as it is", hint="choose another name"
        )


def window_of(recipe: Recipe, asked: int | None) -> int:
    """Frames of the video that a score over time is about.

    Args:
        recipe: Dense sampling sees a part of a video at a time, and no more of a window.
        asked: By the user; None: as many as that, or 64.

    Raises:
        UsageError: They are more than dense sampling sees.
    """
    is_dense = recipe.data.sampling.endswith("dense")
    seen = recipe.model.view.window if is_dense else DEFAULT_WINDOW
    if asked is None:
        return seen
    if is_dense and asked > seen:
        raise UsageError(
            f"--window {asked}: {recipe.data.sampling} sampling sees {seen} frames at a time"
        )
    return asked


def check_folder(folder: Path | None, window: int | None, force: bool) -> None:
    """Refuse a folder for `--save` that is taken or takes no files, and a window without one.

    Args:
        folder: To be filled; None: nothing is saved.
        window: Frames of a window, where they are asked for.
        force: Take a folder that holds something, too.

    Raises:
        UsageError: The place is a file, or a folder that holds something or cannot be written; or
            there is none.
    """
    if folder is None:
        if window is not None or force:
            option = "--force" if window is None else f"--window {window}"
            raise UsageError(f"{option}: belongs to --save DIR")
        return
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--save {folder}: is a file, not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(
            f"--save {folder}: exists and is not empty",
            hint="choose another folder, or add --force",
        )
    try:
        try_file(folder / SCORES)
    except OSError as error:
        raise UsageError(f"--save {folder}: cannot be written ({error.strerror})") from None
