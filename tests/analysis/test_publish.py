import re
import shutil

import pytest

from stsm_cli.analysis import publish as module
from stsm_cli.analysis.publish import publish, write_pictures
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import comparable
from stsm_cli.errors import DataError, UsageError


def names(paths):
    return [path.name for path in paths]


def test_a_table_and_its_figures(measure, tmp_path):
    measure("spatial", lambda run: 50)
    paths = publish(tmp_path, "spatial")
    assert names(paths) == [
        "table2_spatial.md",
        "table2_spatial_order.svg",
        "table2_spatial_order.png",
        "curves_spatial_order.svg",
        "curves_spatial_order.png",
    ]
    assert all(path.stat().st_size > 1000 for path in paths)
    table = paths[0].read_text()
    assert all(
        f"![{name}]({name})" in table
        for name in ("table2_spatial_order.svg", "curves_spatial_order.svg")
    )


def test_each_set_has_figures_of_its_longest_budget(measure, tmp_path):
    for dataset in ("scenes", "order"):
        measure("spatial", lambda run: 50, dataset=dataset)
        measure("spatial", lambda run: 50, dataset=dataset, full=True)
    table, *figures = publish(tmp_path, "spatial")
    shown = [name for name in names(figures) if name.endswith(".svg")]
    assert shown == [
        f"{stem}_{on}.svg"
        for on in ("scenes", "order")
        for stem in ("table2_spatial", "curves_spatial")
    ]
    assert re.findall(r"!\[(.*?)\]", table.read_text()) == shown


def test_everything_can_be_regenerated_from_the_records_alone(measure, tmp_path):
    measure("alpha", lambda run: 50)
    paths = publish(tmp_path, "alpha")
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    assert [path.read_bytes() for path in publish(tmp_path, "alpha")] == before


def test_tsm_in_the_figure_of_alpha_is_of_runs_that_compare(measure, tmp_path):
    measure("alpha", lambda run: 50)
    measure("spatial", lambda run: 60)
    measure("spatiotemporal", lambda run: 60)
    (group,) = comparable([r for r in read_records(tmp_path) if r.table == "table1_alpha"])
    assert module._tsm(tmp_path, group).measured == "60.0"
    for path in tmp_path.glob("records/*/*/T-seed0.json"):
        path.write_text(path.read_text().replace('"order/2"', '"order/1"'))
    assert module._tsm(tmp_path, group).measured is None


def test_the_table_alone(measure, tmp_path):
    measure("alpha", lambda run: 50)
    assert names(publish(tmp_path, "alpha", figures=False)) == ["table1_alpha.md"]


@pytest.mark.parametrize("name", ["alpha", "sota-k400"])
def test_without_records_the_table_is_the_papers_alone(tmp_path, name):
    assert publish(tmp_path, name) == []
    (path,) = publish(tmp_path, name, unmeasured=True)
    table = path.read_text()
    assert "not run" in table
    assert "75.0" in table
    assert "![" not in table
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_of_several_networks_and_its_figures(measure, tmp_path):
    measure("backbones-sthv2", lambda run: None if "16f" in run.row.name else 50)
    paths = publish(tmp_path, "backbones-sthv2")
    assert names(paths)[1::2] == [
        "table7_backbones-sthv2_order.svg",
        "curves_backbones-sthv2_order.svg",
    ]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_overridden_runs_have_files_of_their_own(measure, tmp_path):
    measure("alpha", lambda run: 50)
    measure("alpha", lambda run: 99, overrides=["optim.lr=1"])
    assert names(publish(tmp_path, "alpha", figures=False)) == [
        "table1_alpha.md",
        "table1_alpha_custom.md",
    ]
    assert "| 99.0 |" not in (tmp_path / "table1_alpha.md").read_text().replace("**", "")
    assert "| 99.0 |" in (tmp_path / "table1_alpha_custom.md").read_text().replace("**", "")


def test_a_table_of_records_that_are_gone_shows_none(measure, tmp_path):
    measure("alpha", lambda run: 99, overrides=["optim.epochs=1"])
    (custom,) = publish(tmp_path, "alpha", figures=False)
    assert "| 99.0 |" in custom.read_text().replace("**", "")
    shutil.rmtree(tmp_path / "records")
    assert publish(tmp_path, "alpha", figures=False) == [custom]
    assert "99.0" not in custom.read_text()


def test_overridden_runs_alone_leave_no_empty_table_beside_theirs(measure, tmp_path):
    measure("alpha", lambda run: 99, overrides=["optim.lr=1"])
    assert names(publish(tmp_path, "alpha", figures=False)) == ["table1_alpha_custom.md"]
    (tmp_path / "table1_alpha.md").write_text("stale")
    both = ["table1_alpha_custom.md", "table1_alpha.md"]
    assert names(publish(tmp_path, "alpha", figures=False)) == both
    assert "not run" in (tmp_path / "table1_alpha.md").read_text()


def test_tsm_comes_from_another_tables_runs_of_the_same_recipe(measure, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "stsm_cli.analysis.publish.settings_figure",
        lambda rows, group, reference: seen.append(reference),
    )
    monkeypatch.setattr("stsm_cli.analysis.publish.encode", lambda figure, kind: b"")
    measure("alpha", lambda run: 50)
    measure("spatial", lambda run: 77, full=True)  # another budget: not comparable
    publish(tmp_path, "alpha")
    measure("spatial", lambda run: 66 + 2 * run.seed, seeds=2)
    publish(tmp_path, "alpha")
    assert [(line.paper, line.measured) for line in seen] == [("74.43", None), ("74.43", "67.0")]


def test_a_broken_record_is_named(measure, tmp_path):
    measure("alpha", lambda run: 50)
    next(tmp_path.glob("records/*/*/0-seed0.json")).write_text("{")
    with pytest.raises(DataError, match=r"0-seed0\.json: not a run record: Invalid JSON"):
        publish(tmp_path, "alpha")


def test_a_place_that_cannot_be_written(measure, tmp_path):
    measure("alpha", lambda run: 50)
    (tmp_path / "table1_alpha.md").mkdir()
    with pytest.raises(UsageError, match=r"--out: .*table1_alpha\.md cannot be written"):
        publish(tmp_path, "alpha")


def test_figures_1_and_4_are_written(tmp_path):
    paths = write_pictures(tmp_path)
    assert [path.name for path in paths] == [
        "figure1.svg",
        "figure1.png",
        "figure4.svg",
        "figure4.png",
    ]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_accuracy_by_pair_is_drawn_where_it_is_known(measure, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "trade_off_figure", lambda rows, group: None)
    monkeypatch.setattr(module, "shift_figure", lambda: None)
    monkeypatch.setattr(module, "pair_group", lambda records, on: on if records else None)
    monkeypatch.setattr(module, "pairs_figure", seen.append)
    monkeypatch.setattr(module, "encode", lambda figure, kind: b"")
    assert len(write_pictures(tmp_path)) == 4
    measure("alpha", lambda run: 50)
    names = [path.name for path in write_pictures(tmp_path)]
    sets = ("scenes", "order")
    assert names[4:] == [f"class_pairs_{on}.{kind}" for on in sets for kind in ("svg", "png")]
    assert seen == ["scenes", "order"]


@pytest.fixture
def drawn(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "TABLE", 2)  # as if the records were of Figure 1's table
    monkeypatch.setattr(module, "trade_off_figure", lambda rows, group: seen.append((rows, group)))
    monkeypatch.setattr(module, "shift_figure", lambda: None)
    monkeypatch.setattr(module, "encode", lambda figure, kind: b"")
    return seen


def test_figure_1_shows_the_runs_of_its_table(measure, tmp_path, drawn):
    measure("spatial", lambda run: 50, overrides=["optim.lr=1"])
    write_pictures(tmp_path)
    measure("spatial", lambda run: 60)
    write_pictures(tmp_path)
    assert drawn[0] == ([], None)
    rows, group = drawn[1]
    assert [row.row.name for row in rows] == ["TSN", "T", "H", "W", "H+W", "HW"]
    assert {record.score.top1 for record in group.records} == {60.0}


def test_a_place_for_pictures_that_cannot_be_written(tmp_path):
    (tmp_path / "figure1.svg").mkdir()
    with pytest.raises(UsageError, match=r"--out: .*figure1\.svg cannot be written"):
        write_pictures(tmp_path)
