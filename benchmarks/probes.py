"""Probes of the generated sets: what is told of their classes without a network.

python benchmarks/probes.py order scenes [--data data] [--save results]

Prints a page in Markdown: accuracy in percent of linear classifiers on a few numbers of each video,
in every pair of classes (`stsm_cli/analysis/probes.py` explains it). With --save the page is of the
three draws that rows are measured on, and is written beside the numbers that it is made from
(`probes.md`, `probes.json`); without it, of draw 0. Sets are made where they are absent, in their
default sizes.
"""

import argparse
import shlex
from pathlib import Path

from pydantic_core import to_json

from stsm_cli.analysis.ablation import DRAWS
from stsm_cli.analysis.probes import Probed, probe, probe_videos
from stsm_cli.analysis.probes_page import PROBES, PROBES_PAGE, Probes, SetProbes, probes_page
from stsm_cli.analysis.records import write_whole
from stsm_cli.data.generated import GENERATED


def probe_draw(name: str, draw: int, first: Path) -> Probed:
    """The numbers of the videos of a draw, whose folder lies beside that of the first."""
    made = GENERATED[name]
    settings = made.settings.model_validate({"draw": draw} if draw else {})
    root = first.with_name(f"{first.name}-draw{draw}") if draw else first
    if not made.check(root, settings):
        made.make(root, settings)
    return probe_videos(root, settings.splits)


def probe_set(name: str, first: Path, *, all_draws: bool) -> SetProbes:
    """What the probes tell of a set in its default size: of all its measured draws, or of one."""
    is_drawn_again = "draw" in GENERATED[name].settings.model_fields
    draws = range(DRAWS if all_draws and is_drawn_again else 1)
    probed = {draw: probe_draw(name, draw, first) for draw in draws}
    return SetProbes(
        generator=GENERATED[name].identify(),
        videos_a_pair=2 * len(probed[0].labels) // len(probed[0].classes),
        draws={str(draw): probe(numbers, name) for draw, numbers in probed.items()},
    )


def main() -> None:
    """Prints or writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sets", nargs="+", choices=sorted(GENERATED))
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="folder of the sets' folders"
    )
    parser.add_argument("--save", type=Path, help="folder to write all draws' numbers and page to")
    options = parser.parse_args()
    words = [*options.sets, *(("--save", "results") if options.save else ())]
    sets = {
        name: probe_set(name, options.data / name, all_draws=options.save is not None)
        for name in options.sets
    }
    probes = Probes(f"python benchmarks/probes.py {shlex.join(words)}", sets)
    if options.save is None:
        print(probes_page(probes), end="")
        return
    write_whole(options.save / PROBES, to_json(probes, indent=1) + b"\n")
    write_whole(options.save / PROBES_PAGE, probes_page(probes))


if __name__ == "__main__":
    main()
