import re

import pytest

from stsm_cli.analysis.figure_curves import curves_figure
from stsm_cli.analysis.figure_settings import networks_figure, settings_figure
from stsm_cli.analysis.figures import METHODS, encode
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.summary import by_network


@pytest.mark.parametrize(
    ("name", "kind"), [("alpha", "svg"), ("alpha", "png"), ("backbones-sthv2", "svg")]
)
def test_the_same_records_give_the_same_bytes(prepared, name, kind):
    rows, group = prepared(name, lambda run: 60)

    def settings():
        if name == "alpha":
            return settings_figure(rows, group)
        return networks_figure(rows, group, load_paper_table(7))

    for draw in (settings, lambda: curves_figure(rows, group)):
        first, second = (encode(draw(), kind) for _ in range(2))
        assert first == second
        assert not re.search(rb"<dc:date>|Matplotlib v|Software", first)


@pytest.mark.parametrize("name", ["sota-k400", "sota-sthv2", "backbones-k400", "backbones-sthv2"])
def test_every_row_of_several_networks_is_one_of_the_methods(prepared, name):
    rows, _ = prepared(name, lambda run: 60)
    assert {row.method for row in rows} == set(METHODS)
    assert sum(len(of_network) for of_network in by_network(rows).values()) == len(rows)
