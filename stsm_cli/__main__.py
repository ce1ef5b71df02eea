"""The program's entry: `stsm`, and `python -m stsm_cli`."""

import io
import sys

from stsm_cli.errors import TerminatedExit
from stsm_cli.lifeline import heed_tie
from stsm_cli.sigterm import sigterm_raises


def main() -> None:
    """Run the command line and exit; Ctrl-C while the program still loads is no traceback."""
    heed_tie()
    if isinstance(sys.stdout, io.TextIOWrapper):  # α on a terminal that has no α is \u03b1
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with sigterm_raises(TerminatedExit):
            from stsm_cli.cli.app import run

            sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
