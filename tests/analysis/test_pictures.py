import pytest

from stsm_cli.analysis import pictures
from stsm_cli.analysis.pictures import write_pictures
from stsm_cli.errors import UsageError


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
    monkeypatch.setattr(pictures, "trade_off_figure", lambda rows, group: None)
    monkeypatch.setattr(pictures, "shift_figure", lambda: None)
    monkeypatch.setattr(pictures, "pair_group", lambda records: "group" if records else None)
    monkeypatch.setattr(pictures, "pairs_figure", seen.append)
    monkeypatch.setattr(pictures, "encode", lambda figure, kind: b"")
    assert len(write_pictures(tmp_path)) == 4
    measure("alpha", lambda run: 50)
    names = [path.name for path in write_pictures(tmp_path)]
    assert names[4:] == ["class_pairs.svg", "class_pairs.png"]
    assert seen == ["group"]


@pytest.fixture
def drawn(monkeypatch):
    seen = []
    monkeypatch.setattr(pictures, "TABLE", 2)  # as if the records were of Figure 1's table
    monkeypatch.setattr(
        pictures, "trade_off_figure", lambda rows, group: seen.append((rows, group))
    )
    monkeypatch.setattr(pictures, "shift_figure", lambda: None)
    monkeypatch.setattr(pictures, "encode", lambda figure, kind: b"")
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


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "figure1.svg").mkdir()
    with pytest.raises(UsageError, match=r"--out: .*figure1\.svg cannot be written"):
        write_pictures(tmp_path)
