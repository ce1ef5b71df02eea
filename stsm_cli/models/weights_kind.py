"""Check by its first bytes that a file may hold weights, before torch is imported."""

import zipfile
from pathlib import Path

from stsm_cli.errors import CheckpointError

SAFETENSORS = ".safetensors"
CARD = "stsm.card"  # under which an exported file holds its card
_SNIFFED = 512  # bytes


def check_weights(path: Path) -> None:
    """Refuse what cannot be weights to start from, or to test.

    Raises:
        CheckpointError: The file is missing, or no file of weights.
    """
    try:
        is_missing = not path.exists()
    except OSError as error:  # such as a name that is too long
        raise not_read(path, error) from None
    if is_missing:
        raise CheckpointError(
            f"{path}: no such file of weights",
            hint="`stsm convert` makes one of another project's checkpoint",
        )
    check_kind(path)


def check_kind(path: Path, kind: str | None = None) -> None:
    """Refuse what the first bytes, or an archive's list of contents, show to be something else.

    Args:
        path: The file.
        kind: What it should be; None: what its name says.

    Raises:
        CheckpointError: The file is missing, or no file of weights.
    """
    kind = kind or ("safetensors file" if path.suffix == SAFETENSORS else "checkpoint")
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path}: cannot be read (not a file)")
        with path.open("rb") as file:
            beginning = file.read(_SNIFFED)
    except OSError as error:
        raise not_read(path, error) from None
    if found := _other_kind(beginning) or _misnamed(beginning, kind):
        reason, hint = found
        raise CheckpointError(f"{path}: not a readable {kind} ({reason})", hint=hint)
    if beginning.startswith(b"PK"):
        _check_archive(path)


def _other_kind(beginning: bytes) -> tuple[str, str | None] | None:
    """Kind of a file that begins so, and a cure; None for what may be a checkpoint."""
    again = (
        "download the file itself; such a page comes in its place from a link to a page about it"
    )
    if not beginning:
        return "it is empty", "fetch it again"
    if beginning.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself", "`git lfs pull` fetches the file"
    if beginning.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page", again
    if all(byte > 31 or byte in b"\t\n\r\f" for byte in beginning) and beginning[0] < 128:
        return "it is a text file", None
    return None


def _misnamed(beginning: bytes, kind: str) -> tuple[str, str] | None:
    """Format of a file that begins so and is called as one of the other, and a cure."""
    is_safetensors = beginning[4:9] == b"\0\0\0\0{"  # 8 bytes: the length of its JSON
    is_torch = beginning.startswith((b"PK\x03\x04", b"\x80\x02")) and not is_safetensors
    if kind == "checkpoint" and is_safetensors:
        return "it is a safetensors file", f"call it FILE{SAFETENSORS}"
    if kind == "safetensors file" and is_torch:
        return "it is a file of torch.save", "call it FILE.pth"
    return None


def _check_archive(path: Path) -> None:
    """Refuse a program, and what would be larger in memory; `torch.save` packs nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            is_script = any(name.endswith("/constants.pkl") for name in archive.namelist())
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        return  # damaged: its reader says how
    if is_script:
        raise CheckpointError(
            f"{path}: not a readable checkpoint (it is a TorchScript archive, a program)",
            hint="if you trust it, save its weights: "
            "torch.save(torch.jit.load(FILE).state_dict(), STRIPPED)",
        )
    if size > path.stat().st_size:
        raise CheckpointError(
            f"{path}: refused, since {path.stat().st_size} bytes would become {size}: it is "
            "compressed, which torch.save never does"
        )


def not_read(path: Path, error: OSError) -> CheckpointError:
    """A file that the system does not give, as an error of ours."""
    return CheckpointError(f"{path}: cannot be read ({error.strerror or error})")
