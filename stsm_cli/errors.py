"""Errors that a user can cure: one line, an optional hint, an exit code. No traceback is shown."""

from collections.abc import Sequence

TERMINATED = 75
_PROBLEMS_SHOWN = 5


class StsmError(Exception):
    """Something the user can put right.

    Args:
        message: One sentence without a full stop: where, which, the rule, the value.
        hint: The cure, when it is known.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(StsmError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class RecipeError(StsmError):
    """A recipe is wrong; the message lists every problem, one a line."""

    exit_code = 2


class DataError(StsmError):
    """A data set is missing, incomplete, or not what the recipe asks for."""


class CheckpointError(StsmError):
    """A checkpoint or run folder cannot be read, or belongs to another recipe."""


class DivergedError(StsmError):
    """A loss, gradient, weight or score is no longer a finite number."""


class InterruptedRunError(StsmError):
    """Ctrl-C was pressed; the message says what is saved."""

    exit_code = 130


class PreemptedError(StsmError):
    """SIGTERM came; the message says what is saved, and the hint how to go on."""

    exit_code = TERMINATED


class TerminatedExit(SystemExit):
    """SIGTERM came where nothing needs to be saved; like `KeyboardInterrupt`, no `Exception`."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def raise_problems(problems: Sequence[str], *, hint: str | None = None) -> None:
    """Raise all problems as one error, the first five a line each; none: go on.

    Raises:
        DataError: There are problems.
    """
    if problems:
        shown = list(problems[:_PROBLEMS_SHOWN])
        if len(problems) > len(shown):
            shown.append(f"... and {len(problems) - len(shown)} more")
        raise DataError("\n".join(shown), hint=hint)
