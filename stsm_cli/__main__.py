"""The program's entry: `stsm`, and `python -m stsm_cli`."""

import io
import os
import sys

from stsm_cli.errors import TerminatedExit


def main() -> None:
    """Run the command line and exit; to be stopped while the program loads is one line, too."""
    _fill_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # α on a terminal that has no α is \u03b1
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from stsm_cli.lifeline import heed_tie  # here: Ctrl-C may come while it is imported
        from stsm_cli.sigterm import ctrl_c_raises, sigterm_raises

        heed_tie()
        with sigterm_raises(TerminatedExit), ctrl_c_raises():
            from stsm_cli.cli.app import run

            sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    except TerminatedExit:
        _say("stopped by SIGTERM")
        raise


def _fill_closed_streams() -> None:
    """Open nothing where the shell closed stdout or stderr (`>&-`): Python has None there."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _say(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one prints
        sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
