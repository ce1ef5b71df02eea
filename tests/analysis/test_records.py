import errno
import json
import os
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from stsm_cli.analysis.ablation import plan_sweep, slug
from stsm_cli.analysis.records import (
    AGAIN,
    finished,
    read_record,
    read_records,
    record_path,
    write_record,
)
from stsm_cli.config.load import recipe_hash
from stsm_cli.errors import DataError, StsmError, UsageError


@pytest.fixture
def sweep(measure):
    return measure("alpha", lambda run: 70)


@pytest.fixture
def path(sweep, tmp_path):
    return record_path(tmp_path, sweep, sweep.runs[3])


def test_path_says_what_it_is(path, sweep, tmp_path):
    folder = f"records/table1_alpha/order-short-{sweep.experiment}"
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
    assert record.score.top1_interval == pytest.approx((60.4151, 78.1051), abs=1e-3)
    assert record.curve.val_top1 == tuple(30.0 + i for i in range(run.recipe.optim.epochs))
    assert record.seconds == 57.8
    assert record.recipe == run.recipe
    assert record.environment["decoder"] == record.machine.decoder == "decord"
    assert "/home" not in path.read_text()


def test_a_record_of_stsm_0_3_reads_as_one_of_today(path):
    record = read_record(path)
    old = '"paper_network": {"size_px": 224, "macs": 1, "params": 1},\n"recipe":'
    path.write_text(path.read_text().replace('"recipe":', old, 1))
    assert read_record(path) == record


@pytest.mark.parametrize("curve", ["train_loss", "train_top1", "val_top1"])
@pytest.mark.parametrize("more", [-1, 1])
def test_a_curve_of_another_length_than_the_recipes_is_refused(path, tmp_path, curve, more):
    epochs = read_record(path).recipe.optim.epochs
    other = f'"{curve}": [{", ".join(["50.0"] * (epochs + more))}]'
    path.write_text(re.sub(rf'"{curve}": \[.*?\]', other, path.read_text()))
    with pytest.raises(DataError) as error:
        read_records(tmp_path)
    assert str(error.value) == (
        f"{path}: curve.{curve} has {epochs + more} values, the recipe's optim.epochs is {epochs}"
    )
    assert error.value.hint == (
        "move the file and the run's folder below runs/ away; the same `stsm ablate` does the run "
        "again"
    )


@pytest.mark.parametrize("top1", ["69.9", "80.0"])
def test_an_accuracy_that_is_not_that_of_the_counts_is_refused(path, tmp_path, top1):
    path.write_text(path.read_text().replace('"top1": 70.0', f'"top1": {top1}'))
    with pytest.raises(
        DataError, match=r"score\.top1 is .* but 70 of 100 videos are 70 %"
    ) as error:
        read_records(tmp_path)
    assert str(error.value).startswith(f"{path}: ")


def test_an_accuracy_outside_its_interval_is_refused(path, tmp_path):
    path.write_text(re.sub(r"\[60\.4\d+, ", "[71.5, ", path.read_text()))
    with pytest.raises(DataError, match=r"score\.top1 is 70 in 71\.5 to 78\.1.*, but 70 of 100"):
        read_records(tmp_path)


def test_two_records_of_one_run_are_refused(path, tmp_path):
    twin = path.with_stem("copy")
    twin.write_bytes(path.read_bytes())
    with pytest.raises(DataError) as error:
        read_records(tmp_path)
    assert str(error.value) == f"{twin}: tells of the same run as {path}"
    assert error.value.hint == "move one of them away"


def test_a_record_among_those_of_another_table_is_refused(path, tmp_path):
    other = tmp_path / "records" / "table2_spatial" / path.parent.name / path.name
    other.parent.mkdir(parents=True)
    path.rename(other)
    with pytest.raises(DataError) as error:
        read_records(tmp_path)
    assert str(error.value) == f"{other}: is a record of table1_alpha"
    assert error.value.hint == "move it there"


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
    assert caught.value.hint == AGAIN


def test_only_the_same_recipe_is_finished(path, sweep, tmp_path):
    run = sweep.runs[3]
    assert finished(tmp_path, sweep)[run.recipe_hash] == read_record(path)
    other = replace(run, recipe=run.recipe.model_copy(update={"seed": 1}))
    assert finished(tmp_path, replace(sweep, runs=(other,))) == {}
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_is_full_or_fails_is_no_fault_of_the_command(path, monkeypatch, code):
    def refuse(*_, **options):
        raise OSError(code, os.strerror(code))

    record = read_record(path)
    monkeypatch.setattr(os, "fsync", refuse)
    message = rf"^--out: .*a\.json cannot be written \({os.strerror(code)}\)$"
    with pytest.raises(StsmError, match=message) as caught:
        write_record(path.with_name("a.json"), record)
    assert caught.value.exit_code == 1
    assert caught.value.hint == "make room, or mend the disk; the same command then goes on"
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StsmError, match=r"^--out: .* cannot be made") as caught:
        write_record(path.with_name("new") / "a.json", record)
    assert caught.value.exit_code == 1


def edited(path, *keys, to):
    """The record at `path` with another value at `keys`."""
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "to", "problem"),
    [
        (
            ("recipe", "optim", "lr"),
            0.5,
            r"recipe_hash is 2ad99749d7c8, but its recipe gives \w{12}",
        ),
        (("recipe_hash",), "0" * 12, "recipe_hash is 000000000000, but its recipe gives 2ad99749"),
        (("seed",), 3, "seed is 3, but its recipe gives 0"),
        (("network", "size_px"), 224, r"network\.size_px is 224, but its recipe gives 48"),
        (("protocol",), "synth-1x3@32", "protocol is synth-1x3@32, but its recipe gives order-2x3"),
        (("dataset",), "k400", "dataset is k400, but its recipe gives order"),
        (
            ("environment", "data_id"),
            "scenes/2",
            r"environment\.data_id is scenes/2, but its dataset is order",
        ),
        (("recipe",), {}, r"not a run record: recipe\.model: Field required"),
        (
            ("recipe", "optim", "policy"),
            "of old",
            r"recipe\.optim\.policy: Input should be 'plain'",
        ),
        (("environment", "packages"), ["torch"], r"environment\.packages: Input should be"),
        (("score", "num_listed"), 0, r"score\.num_listed: Input should be greater than 0"),
        (("score", "num_videos"), 69, r"score\.num_videos is 69, with 70 correct of 100 listed"),
        (("score", "top5"), 60.0, r"score\.top5 is 60, less than top1, 70"),
        (("score", "mean_class"), 170.0, r"score\.mean_class: Input should be less than or equal"),
        (("score", "top1"), float("nan"), r"score\.top1: Input should be a finite number"),
        (("score", "hits"), "oKA=", r"score\.hits has 2 bytes, for 100 listed videos"),
        (("score", "pair_accuracy"), 60.0, r"score\.pair_accuracy is 60, less than top1, 70"),
        (
            ("environment", "batch"),
            {"batch_size": 8, "lr": 0.004},
            r"environment\.batch\.lr is 0\.004, but its recipe gives 0\.002",
        ),
        (("seconds",), -0.1, "seconds: Input should be greater than or equal to 0"),
        (("curve", "val_top1"), [True] * 11, r"curve\.val_top1\.0: Input should be a valid number"),
    ],
)
def test_what_can_be_computed_is_computed(path, tmp_path, keys, to, problem):
    edited(path, *keys, to=to)
    with pytest.raises(DataError, match=problem) as caught:
        read_records(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert AGAIN in caught.value.hint


def test_a_run_may_take_less_than_a_twentieth_of_a_second(path):
    edited(path, "seconds", to=0.0)
    assert read_record(path).seconds == 0


def relabelled(path, **label):
    """The record at `path` with another table, row or budget, where these say that it lies."""
    content = json.loads(path.read_text()) | label
    folder = f"{content['dataset']}-{content['budget']}-{content['experiment']}"
    there = path.parents[2] / content["table"] / folder
    there.mkdir(parents=True, exist_ok=True)
    there /= f"{slug(content['row'])}-seed{content['seed']}.json"
    there.write_text(json.dumps(content))
    if there != path:
        path.unlink()
    return there


SHIFT = '{"dims": "T+H+W", "alpha": "3/8"'


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ({"row": "1/4"}, "recipe.model.shift.alpha is 3/8, but row 1/4 gives 1/4"),
        ({"row": "0"}, f"recipe.model.shift is {SHIFT}"),
        ({"row": "T 1/8"}, "recipe.model.shift.dims is T+H+W, but row T 1/8 gives T"),
        ({"budget": "custom", "row": "1/2"}, "recipe.model.shift.alpha is 3/8, but row 1/2 gives"),
        ({"base": "order/trn"}, "base is order/trn, but row 3/8 gives order/stsm"),
        ({"row": "foo"}, "row foo: unknown in table1_alpha on order"),
        ({"table": "table9_x"}, "table table9_x: unknown"),
        ({"table": "table3_spatiotemporal"}, "row 3/8: unknown in table3_spatiotemporal on order"),
        (
            {"table": "table5_sota-sthv2", "row": "TRN RGB+flow"},
            "base is order/stsm, but row TRN RGB+flow gives order/trn + order/trn_flow",
        ),
    ],
)
def test_a_record_is_of_the_row_that_its_recipe_is_of(path, tmp_path, label, problem):
    path = relabelled(path, **label)
    with pytest.raises(DataError) as caught:
        read_records(tmp_path)
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert caught.value.hint == AGAIN


def test_a_row_without_a_shift_has_none(sweep, tmp_path):
    path = relabelled(record_path(tmp_path, sweep, sweep.runs[0]), row="1")
    told = re.escape(f"{path}: recipe.model.shift.alpha is null, but row 1 gives 1")
    with pytest.raises(DataError, match=f"^{told}$"):
        read_record(path)


@pytest.mark.parametrize(
    ("was", "now", "problem"),
    [
        ("STSM R-50 16f", "STSM R-50 8f", "recipe.model.num_frames is 16, but row {} gives 8"),
        (
            "STSM MobileNetV2 8f",
            "STSM R-50 8f",
            "recipe.model.backbone is inverted_small, but row {} gives bottleneck_small",
        ),
    ],
)
def test_a_network_of_another_row_that_sets_more_is_refused(measure, tmp_path, was, now, problem):
    sweep = measure("sota-sthv2", lambda run: 70 if run.row.name == was else None)
    (run,) = [run for run in sweep.runs if run.row.name == was]
    path = relabelled(record_path(tmp_path, sweep, run), row=now)
    with pytest.raises(DataError) as caught:
        read_record(path)
    assert str(caught.value) == f"{path}: {problem.format(now)}"


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("spatiotemporal", "model.backbone=inverted_small"),  # as row TSN dilated sets another
        ("sota-sthv2", "optim.epochs=3"),
    ],
)
def test_what_a_user_set_beside_a_row_may_be_anything(measure, tmp_path, name, override):
    measure(name, lambda run: 70, overrides=[override], systems=True)
    records = read_records(tmp_path)
    assert len(records) > 6
    assert {record.budget for record in records} == {"custom"}


def test_rows_that_came_after_the_plan_are_known(measure, tmp_path):
    added = ("T-", "T-+H+W"), ("SlowOnly", "SlowOnly T", "SlowOnly T+H+W")
    for name, rows in zip(("spatiotemporal", "backbones-sthv2"), added, strict=True):
        do = lambda run, rows=rows: 70 if run.row.name in rows else None  # noqa: E731
        measure(name, do, full=True, controls=rows)
    assert {record.row for record in read_records(tmp_path)} == {*added[0], *added[1]}


@pytest.mark.parametrize(
    ("ordered", "accuracy", "problem"),
    [
        (85, 85.0, None),
        (85, 84.0, "score.pair_accuracy is 84.0, but its pairs give 85"),
        (69, 69.0, "score.pairs of a and b: 70 correct, 69 ordered, of 100 videos"),
        (101, 100.0, "score.pairs of a and b: 70 correct, 101 ordered, of 100 videos"),
    ],
)
def test_the_accuracy_in_pairs_is_that_of_the_pairs(path, ordered, accuracy, problem):
    pair = {"classes": ["a", "b"], "videos": 100, "correct": 70, "ordered": ordered}
    edited(path, "score", "pairs", to=[pair])
    edited(path, "score", "pair_accuracy", to=accuracy)
    if problem is None:
        assert read_record(path).score.pairs[0].ordered == ordered
        return
    with pytest.raises(DataError) as caught:
        read_record(path)
    assert str(caught.value) == f"{path}: {problem}"


def test_a_record_lies_where_its_row_and_seed_say(path, tmp_path):
    path.rename(path.with_name("1-2-seed0.json"))
    with pytest.raises(DataError) as caught:
        read_records(tmp_path)
    place = f"{path.parent.name}/3-8-seed0.json"
    assert str(caught.value) == (
        f"{path.with_name('1-2-seed0.json')}: is the record {place} of its table"
    )


def test_keys_that_older_versions_did_not_have_are_filled_in(path):
    before = read_record(path)
    content = json.loads(path.read_text())
    del content["recipe"]["precision"], content["recipe"]["optim"]["policy"]
    content["recipe"]["precision"] = "bf16"
    path.write_text(json.dumps(content))
    assert read_record(path) == before


@pytest.mark.parametrize(
    ("origin", "data_id", "counts"),
    [
        ({}, None, True),
        ({"data_id": "order/1"}, "order/1", True),
        ({"data_id": "order/2"}, "order/1", False),
        ({"data_id": "order/2"}, None, True),
        ({"numerics": 2}, "order/2", False),
    ],
)
def test_a_run_is_known_by_its_videos_and_its_numerics(
    path, sweep, tmp_path, origin, data_id, counts
):
    for key, value in origin.items():
        edited(path, "environment", key, to=value)
    hash_ = sweep.runs[3].recipe_hash
    assert (hash_ in finished(tmp_path, replace(sweep, data_id=data_id))) == counts


def test_a_run_is_known_by_the_content_of_its_first_weights(measure, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"one")
    planned = {"overrides": ["model.init=a.pt"]}
    sweep = measure("alpha", lambda run: 70, init_sha256=sha256(b"one").hexdigest(), **planned)
    assert len(finished(tmp_path, sweep)) == 7

    (tmp_path / "a.pt").rename(tmp_path / "b.pt")
    moved = plan_sweep("alpha", overrides=["model.init=b.pt"])
    assert len(finished(tmp_path, moved)) == len(moved.runs) == 6  # 3/4 is for the longer budget
    assert moved.experiment == sweep.experiment

    (tmp_path / "a.pt").write_bytes(b"two")  # other weights, the same name
    other = plan_sweep("alpha", **planned)
    assert finished(tmp_path, other) == {}
    assert other.experiment != sweep.experiment


def test_records_of_stsm_0_4_count_weights_by_their_path_and_say_their_content(measure, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"one")
    planned = {"overrides": ["model.init=a.pt"]}
    sweep = measure("alpha", lambda run: 70, init_sha256=sha256(b"one").hexdigest(), **planned)
    for run in sweep.runs:
        edited(record_path(tmp_path, sweep, run), "recipe_hash", to=recipe_hash(run.recipe))
    assert len(finished(tmp_path, sweep)) == 7


def test_all_records_of_the_repository_are_read():
    results = Path(__file__).parents[2] / "results"
    assert len(read_records(results / "history")) == 277
    read_records(results)


def two_streams(measure, tmp_path):
    is_fused = {"R(2+1)D RGB+flow": 60, "R(2+1)D": 50}
    sweep = measure("sota-k400", lambda run: is_fused.get(run.row.name), systems=True)
    fused = next(run for run in sweep.runs if run.row.name == "R(2+1)D RGB+flow")
    return sweep, fused, record_path(tmp_path, sweep, fused)


def test_a_record_of_two_streams_reads_back_equal(measure, tmp_path):
    sweep, run, path = two_streams(measure, tmp_path)
    record = read_record(path)
    assert record.base == "scenes/r2plus1d + scenes/r2plus1d_flow"
    assert record.command == "stsm ablate sota-k400 --dataset scenes --systems"
    assert record.recipe_hash == run.recipe_hash == record.identity.recipe
    assert record.flow is not None
    assert record.flow.recipe == run.flow.recipe
    assert (record.flow.fusion.by, record.flow.fusion.weights) == ("prob", (1, 1))
    assert finished(tmp_path, sweep).keys() >= {run.recipe_hash}
    write_record(tmp_path / "again.json", record)
    assert (tmp_path / "again.json").read_text() == path.read_text()


def test_the_second_stream_of_a_record_is_checked_too(measure, tmp_path):
    _, _, path = two_streams(measure, tmp_path)
    content = json.loads(path.read_text())
    content["flow"]["curve"]["val_top1"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"curve\.val_top1 has 11 values, .* is 12"):
        read_record(path)
    content["flow"]["curve"]["val_top1"].append(1.0)
    content["flow"]["recipe"]["optim"]["lr"] = 0.5
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"recipe_hash is .* but its recipe gives"):
        read_record(path)


@pytest.mark.parametrize(
    ("keys", "to", "problem"),
    [
        (("score", "correct"), 61, "flow.score.top1 is 60 in "),
        (("environment", "batch"), {"batch_size": 1, "lr": 1.0}, "flow.environment.batch.lr is 1,"),
    ],
)
def test_the_score_of_the_second_stream_is_checked_too(measure, tmp_path, keys, to, problem):
    _, _, path = two_streams(measure, tmp_path)
    edited(path, "flow", *keys, to=to)
    with pytest.raises(DataError) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: {problem}")


def test_a_record_of_one_stream_says_nothing_of_another(path):
    assert '\n"flow"' not in path.read_text()


@pytest.mark.parametrize(
    ("was", "now", "is_finished"),
    [
        ("flow:dis@256/1", "flow:dis@256/1", True),
        ("flow:dis@256/1", "flow:dis@128/1", False),
        ("flow:dis@256/1", None, True),
    ],
)
def test_two_streams_are_known_by_their_flow(measure, tmp_path, was, now, is_finished):
    _, run, path = two_streams(measure, tmp_path)
    content = json.loads(path.read_text())
    content["flow"]["environment"]["data_id"] = f"scenes/2+{was}"
    path.write_text(json.dumps(content))
    flow_ids = {"dis": now} if now else {}
    again = plan_sweep("sota-k400", systems=True, data_id="scenes/2", flow_ids=flow_ids)
    assert (run.recipe_hash in finished(tmp_path, again)) is is_finished


def test_streams_that_were_fused_otherwise_are_not_finished(measure, tmp_path):
    sweep, run, path = two_streams(measure, tmp_path)
    edited(path, "flow", "fusion", "by", to="logits")
    assert run.recipe_hash not in finished(tmp_path, sweep)
