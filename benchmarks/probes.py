"""Probes of the generated sets: what is told of their classes without a network.

Run: python benchmarks/probes.py scenes order [--data data] [--json probes.json]

Prints a table of each set, in Markdown: accuracy in percent of linear classifiers on a few numbers
of each video, in every pair of classes (`stsm_cli/analysis/probes.py` explains it). 50 is chance;
with the sets' default sizes the standard error is 3 points on `scenes` and 2.4 on `order`.
The sets are made where they are absent, in their default sizes.
"""

import argparse
import json
from pathlib import Path

from stsm_cli.analysis.probes import as_markdown, probe, probe_videos
from stsm_cli.data.generated import GENERATED


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sets", nargs="+", choices=sorted(GENERATED))
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder of the sets' folders"
    )
    parser.add_argument("--json", type=Path, help="write every pair's accuracies, too")
    options = parser.parse_args()
    tables = {}
    for name in options.sets:
        made, root = GENERATED[name], options.data / name
        settings = made.settings()
        if not made.check(root, settings):
            made.make(root, settings)
        tables[name] = probe(probe_videos(root, settings.splits), name)
        print(f"**{name}**, {made.extent(settings)}\n\n{as_markdown(tables[name])}")
    if options.json is not None:
        options.json.write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
