import json
import re

import pytest

from stsm_cli.analysis.records import finished, read_record, read_records, record_path, write_record
from stsm_cli.errors import DataError, UsageError


@pytest.fixture
def sweep(measure):
    return measure("alpha", lambda run: 70)


@pytest.fixture
def path(sweep, tmp_path):
    return record_path(tmp_path, sweep, sweep.runs[3])


def test_path_says_what_it_is(path, sweep, tmp_path):
    folder = f"records/table1_alpha/synth-short-{sweep.experiment}"
    assert path == tmp_path / folder / "3-8-seed0.json"


def test_a_record_reads_back_equal(path, tmp_path):
    record = read_record(path)
    write_record(tmp_path / "copy.json", record)
    assert read_record(tmp_path / "copy.json") == record
    assert (tmp_path / "copy.json").read_bytes() == path.read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_record_holds_the_run_and_nothing_of_the_machine_paths(path, sweep):
    record = read_record(path)
    run = sweep.runs[3]
    assert (record.row, record.seed, record.recipe_hash) == ("3/8", 0, run.recipe_hash)
    assert record.score.correct == 70
    assert record.score.top1_interval == (60.5, 78.5)
    assert record.curve.val_top1 == tuple(30.0 + i for i in range(run.recipe.optim.epochs))
    assert record.seconds == 57.8
    assert record.recipe == run.recipe.model_dump(mode="json")
    assert record.environment["decoder"] == "decord"
    assert "/home" not in path.read_text()


def test_a_record_of_stsm_0_3_reads_as_one_of_today(path):
    record = read_record(path)
    old = '"paper_network": {"size_px": 224, "macs": 1, "params": 1},\n"recipe":'
    path.write_text(path.read_text().replace('"recipe":', old, 1))
    assert read_record(path) == record


@pytest.mark.parametrize("curve", ["train_loss", "train_top1", "val_top1"])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_curve_of_another_length_than_the_recipes_is_refused(path, tmp_path, curve, more):
    epochs = read_record(path).recipe["optim"]["epochs"]
    other = f'"{curve}": [{", ".join(["50.0"] * (epochs + more))}]'
    path.write_text(re.sub(rf'"{curve}": \[.*?\]', other, path.read_text()))
    with pytest.raises(DataError) as error:
        read_records(tmp_path)
    assert str(error.value) == (
        f"{path}: curve.{curve} has {epochs + more} values, the recipe's optim.epochs is {epochs}"
    )
    assert error.value.hint == (
        "delete the file and the run's folder below runs/; the run is done again"
    )


@pytest.mark.parametrize("top1", ["NaN", "80.0"])
def test_an_accuracy_that_is_not_that_of_the_counts_is_refused(path, tmp_path, top1):
    path.write_text(path.read_text().replace('"top1": 70.0', f'"top1": {top1}'))
    with pytest.raises(
        DataError, match=r"score\.top1 is .* but 70 of 100 videos are 70 %"
    ) as error:
        read_records(tmp_path)
    assert str(error.value).startswith(f"{path}: ")


def test_an_accuracy_outside_its_interval_is_refused(path, tmp_path):
    path.write_text(path.read_text().replace("[60.5, 78.5]", "[71.5, 78.5]"))
    with pytest.raises(DataError, match=r"score\.top1 is 70 in 71\.5 to 78\.5, but 70 of 100"):
        read_records(tmp_path)


def test_two_records_of_one_run_are_refused(path, tmp_path):
    twin = path.with_stem("copy")
    twin.write_bytes(path.read_bytes())
    with pytest.raises(DataError) as error:
        read_records(tmp_path)
    assert str(error.value) == f"{twin}: tells of the same run as {path}"
    assert error.value.hint == "delete one of them"


def test_a_record_among_those_of_another_table_is_refused(path, tmp_path):
    other = tmp_path / "records" / "table2_spatial" / path.parent.name / path.name
    other.parent.mkdir(parents=True)
    path.rename(other)
    with pytest.raises(DataError) as error:
        read_records(tmp_path)
    assert str(error.value) == f"{other}: is a record of table1_alpha"
    assert error.value.hint == "move it there, or delete it"


def test_records_are_compact(path):
    assert len(path.read_text().splitlines()) == 19
    assert path.stat().st_size < 4000


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda text: text[:-30], "Invalid JSON"),
        (lambda text: "", "Invalid JSON"),
        (lambda text: text.replace('"seed": 0,\n', '"seed": "0",\n'), "seed: Input should be"),
        (lambda text: text.replace("stsm.record/1", "stsm.record/9"), "schema: Input should be"),
        (lambda text: text.replace('"top1": 70.0, ', ""), r"score.top1: Field required"),
    ],
)
def test_a_broken_record_is_named(path, tmp_path, damage, problem):
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=f"3-8-seed0.json: not a run record: {problem}") as caught:
        read_records(tmp_path)
    assert caught.value.hint == "delete the file; the run is done again"


def test_only_the_same_recipe_is_finished(path, sweep, tmp_path):
    run = sweep.runs[3]
    assert finished(tmp_path, sweep)[run.recipe_hash] == read_record(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"recipe_hash": "0" * 12}))
    assert finished(tmp_path, sweep).get(run.recipe_hash) is None
    path.unlink()
    assert finished(tmp_path, sweep).get(run.recipe_hash) is None


def test_a_place_that_cannot_be_written(path, tmp_path):
    record = read_record(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out: .*file cannot be made \(File exists\)"):
        write_record(tmp_path / "file" / "a.json", record)
    (tmp_path / "a.json").mkdir()
    with pytest.raises(UsageError, match=r"--out: .*a\.json cannot be written \(Is a directory\)"):
        write_record(tmp_path / "a.json", record)
