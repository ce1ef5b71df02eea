"""`python -m stsm_cli` is `stsm`."""

from stsm_cli.cli.app import main

if __name__ == "__main__":
    main()
