import json
from pathlib import Path

import pytest

from stsm_cli.analysis.ablation import DRAWS
from stsm_cli.analysis.planned import SETS
from stsm_cli.analysis.probes import SMALL
from stsm_cli.analysis.probes_page import (
    PROBES,
    PROBES_PAGE,
    Probes,
    SetProbes,
    probes_page,
    table,
    told_of,
)
from stsm_cli.data.catalog import load_card
from stsm_cli.data.generated import GENERATED
from stsm_cli.errors import DataError
from stsm_cli.stored import read_stored

RESULTS = Path(__file__).parents[2] / "results"


def of_order(*draws):
    """What two probes tell of two pairs; 100 videos a pair: standard errors of 5, of two 3.5."""
    by_draw = {
        str(number): {
            "moments": {"order": {"a/b": few, "c/d": 50.0}},
            "one frame": {"order": {"a/b": 51.0, "c/d": many}},
        }
        for number, (few, many) in enumerate(draws)
    }
    return SetProbes(generator="order/2", videos_a_pair=100, draws=by_draw)


def page(*draws):
    return probes_page(Probes("python benchmarks/probes.py order", {"order": of_order(*draws)}))


def test_the_table_shows_means_and_each_draw_of_the_pair_told_best():
    assert table(told_of(of_order((61.0, 50.0), (58.04, 49.0)))).splitlines() == [
        "| probe | order |",
        "| --- | --- |",
        "| moments | 55, at most 59.5 (a/b: 61.0, 58.0) |",
        "| one frame | 50, at most 51.0 (a/b: 51.0, 51.0) |",
    ]


def test_a_page_says_what_made_it_and_of_what():
    text = page((50.0, 50.0), (50.0, 50.0))
    assert text.startswith("# Probes of the generated sets\n\nMade by `python benchmarks/probes.py")
    assert "\n## Set of order\n\n`order/2`, draws 0, 1, 100 videos a pair. " in text
    assert "5.0 points on a draw, 3.5 on the mean of the draws" in text
    assert "draw 0, 100 videos a pair" in page((50.0, 50.0))


def test_where_nothing_is_told_a_page_says_so():
    text = page((59.0, 50.0), (58.0, 50.0))
    assert (
        "- On the mean of the draws no probes on at most ten numbers pass 60 % in any pair; the "
        "most is `moments` on a/b (58.5).\n"
        "- On single draws none of their 4 values pass 60 %.\n"
        "- None of their 2 means lie more than 3 standard errors above chance, where chance alone "
        "puts 0.0.\n"
        "- `one frame` passes 60 % on the mean of the draws in no pair, at most 51.0 (a/b).\n"
    ) in text


def test_a_lucky_draw_hides_no_leak():
    text = page((58.0, 50.0), (62.5, 80.0))
    assert (
        "mean of the draws these probes on at most ten numbers pass 60 %: `moments` on a/b" in text
    )
    assert (
        "- On single draws 1 of their 4 values pass 60 %: `moments` on a/b (62.5 on draw 1)."
        in text
    )
    assert "- None of their 2 means lie more than 3" in text
    assert "- `one frame` passes 60 % on the mean of the draws in c/d (65.0).\n" in text


def test_what_is_no_chance_is_named():
    assert (
        "- 1 of their 2 means lie more than 3 standard errors above chance, where chance alone "
        "puts 0.0: `moments` on a/b (61.0). There the set leaks.\n"
    ) in page((62.0, 50.0), (60.0, 50.0))


def test_a_file_that_holds_something_else_is_named(tmp_path):
    path = tmp_path / PROBES
    path.write_text(json.dumps({"command": "x", "sets": {"order": {"generator": "order/2"}}}))
    with pytest.raises(DataError, match=r"probes\.json: not what probes tell.*sets"):
        read_stored(path, Probes, "what probes tell", DataError)


@pytest.fixture(scope="module")
def committed():
    return read_stored(RESULTS / PROBES, Probes, "what probes tell", DataError)[0]


def test_the_committed_page_is_that_of_the_committed_numbers(committed):
    assert (RESULTS / PROBES_PAGE).read_text() == probes_page(committed)


def test_the_committed_numbers_are_of_all_pairs_and_draws_of_the_sets_as_they_are(committed):
    assert set(committed.sets) == set(SETS)
    for name, probed in committed.sets.items():
        assert probed.generator == GENERATED[name].identify()
        assert list(probed.draws) == [str(draw) for draw in range(DRAWS)]
        pairs = {
            factor: ["/".join(pair) for pair in pairs]
            for factor, pairs in load_card(name).factors.items()
        }
        for of_draw in probed.draws.values():
            for by_factor in of_draw.values():
                assert {factor: list(found) for factor, found in by_factor.items()} == pairs


def test_no_few_numbers_tell_more_of_a_pair_than_is_known(committed):
    """The known leak is `disc_leads` by its change of spread, 61.0, and no other pair is near it.

    A generator, or a probe, that finds more must not have its numbers published unseen.
    """
    told = [one for probed in committed.sets.values() for one in told_of(probed)]
    assert max(one.mean for one in told if one.probe in SMALL) <= 62
