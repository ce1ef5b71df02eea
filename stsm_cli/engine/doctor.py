"""A look at this machine: what `stsm train` and the other commands need, and how it fares here.

Each check is done by itself, and what it raises becomes its finding: nothing here stops at the
first fault, and heavy packages are imported by the check that is about them. Texts that go into a
report name neither this machine nor its user.
"""

import getpass
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from stsm_cli.errors import DataError
from stsm_cli.printable import one_line
from stsm_cli.sigterm import raise_if_told

SETTINGS = (
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"),
    "STSM_ALLOCATOR",
)
"""Environment variables that a report tells, where they are set; none of them holds a name."""
_PACKAGES = ("torch", "torchvision", "av", "decord", "numpy", "typer", "pydantic", "safetensors")

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Seen:
    """What a check saw.

    Attributes:
        text: In words, without paths of this machine.
        remedy: What to do about it; empty where nothing is wrong.
        works: True where it can be used as it is.
    """

    text: str
    remedy: str = ""
    works: bool = True


@dataclass(frozen=True)
class Checkup:
    """One look at one thing.

    Attributes:
        name: Of the thing.
        look: The look; it may raise anything.
        remedy: What to do where it raises.
        needed: True for what `stsm train` cannot do without.
    """

    name: str
    look: Callable[[], Seen]
    remedy: str
    needed: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What is to be said of one check."""

    name: str
    state: State
    text: str
    remedy: str


def examine(checks: Sequence[Checkup]) -> Iterator[Diagnosis]:
    """The findings, one a check, in order.

    Raises:
        BaseException: A signal's: what an import leaves that swallows it is no finding.
    """
    for check in checks:
        try:
            seen = check.look()
        except Exception as error:  # whatever is broken: that is the finding
            seen = Seen(error_text(error), check.remedy, works=False)
        raise_if_told()
        state: State = "warning" if seen.remedy else "ok"
        if check.needed and not seen.works:
            state = "failed"
        yield Diagnosis(check.name, state, one_line(seen.text), seen.remedy)


def bug_report(findings: Sequence[Diagnosis]) -> str:
    """Text for a bug report: versions, settings and findings, nobody's name and no path."""
    settings = [f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ]
    lines = [
        ", ".join(f"{name} {version}" for name, version in versions(_PACKAGES).items()),
        *([", ".join(settings)] if settings else []),
        *(f"{finding.name}: {finding.state}, {finding.text}" for finding in findings),
    ]
    return "\n".join(_nameless(line) for line in lines)


def error_text(error: Exception) -> str:
    """The first line of an error, with its kind where it is none of ours."""
    first_line = str(error).strip().partition("\n")[0]
    if isinstance(error, DataError):
        return first_line
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _nameless(text: str) -> str:
    """The text without the folders, the user and the host of this machine."""
    for find, name in ((Path.cwd, "."), (Path.home, "~"), (tempfile.gettempdir, "TEMP")):
        with suppress(OSError, RuntimeError):  # it was deleted, or there is none: nothing to hide
            if (folder := str(find())) != os.sep:
                text = text.replace(folder, name)
    with suppress(Exception):  # where nobody knows the user: nothing to hide
        text = re.sub(rf"(?<=[/\\]){re.escape(getpass.getuser())}\b", "USER", text)
    host = platform.node()
    return re.sub(rf"\b{re.escape(host)}\b", "HOST", text) if host else text


def system() -> str:
    """System, processor and C library."""
    system = f"{platform.system()} {platform.machine()}"
    library = " ".join(platform.libc_ver())
    return f"{system}, {library}" if library.strip() else system


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of those packages that are installed, found without importing them."""
    found = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
