"""The folder that `stsm predict --save` fills; checked before torch is imported."""

from pathlib import Path

from stsm_cli.errors import UsageError


def check_folder(folder: Path | None, window: int | None, force: bool) -> None:
    """Refuse a place that is taken, and a window without a place.

    Args:
        folder: To be filled; None: nothing is saved.
        window: Frames of a window, where they are asked for.
        force: Take a folder that holds something, too.

    Raises:
        UsageError: The place is a file, or a folder that holds something; or there is none.
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
