"""The program's entry: `stsm`, and `python -m stsm_cli`."""

import io
import os
import sys

from stsm_cli.errors import TerminatedExit
from stsm_cli.lifeline import heed_tie
from stsm_cli.sigterm import ctrl_c_raises, sigterm_raises


def main() -> None:
    """Run the command line and exit; to be stopped while the program loads is one line, too."""
    heed_tie()
    if isinstance(sys.stdout, io.TextIOWrapper):  # α on a terminal that has no α is \u03b1
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with sigterm_raises(TerminatedExit), ctrl_c_raises():
            from stsm_cli.cli.app import run

            sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    except TerminatedExit:
        _say("stopped by SIGTERM")
        raise


def _say(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one prints
        sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
