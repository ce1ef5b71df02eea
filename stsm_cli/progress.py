"""Reports of long work while it runs: a bar and messages, without knowing who shows them.

The command line implements `Progress` on a terminal (`cli/output.py`); library users get silence.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """A running bar."""

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Move on by `steps` and show `status` behind the bar."""


class Progress(Protocol):
    """Receiver of the reports of long work."""

    def message(self, text: str) -> None:
        """Say one line; `warning: ...` is one that the user should act on."""

    def bar(self, label: str, total: int) -> AbstractContextManager[Bar]:
        """Show a bar over `total` steps while the context is open."""


class _SilentBar:
    def advance(self, steps: int = 1, status: str = "") -> None:
        pass


class _Silent:
    def message(self, text: str) -> None:
        pass

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        yield _SilentBar()


SILENT: Progress = _Silent()


def is_warning(text: str) -> bool:
    """Whether a message asks the user to act: it is shown where others are not."""
    return text.startswith("warning: ")
