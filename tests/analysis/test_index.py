from dataclasses import replace

import pytest

from stsm_cli.analysis.ablation import ablation_names, load_ablation
from stsm_cli.analysis.index import index_text, write_index
from stsm_cli.analysis.records import read_records, write_record
from stsm_cli.config.load import recipe_hash
from stsm_cli.errors import DataError


def t_is_best(run):
    return (90 if run.row.name == "T" else 50) + run.seed


def test_what_holds_on_which_data_is_seen_at_once(measure, tmp_path):
    measure("spatial", t_is_best, seeds=3)
    measure("backbones-k400", lambda run: (90 if "TSN" in run.row.name else 50) + run.seed, seeds=3)
    lines = index_text(tmp_path).splitlines()
    head = lines.index(
        "| table | the paper's claim | Kinetics-400 | Something-Something V2 | set of scenes "
        "| set of order |"
    )
    claim = "TSN < TSM < STSM with the same network and frames"
    assert lines[head + 2 : head + 9] == [
        "| [1](table1_alpha.md) | row 3/8 is the best | not run | not run | not run | not run |",
        "| [2](table2_spatial.md) | row T is the best | not run | not run | not run | holds: 5 "
        "clearly as claimed |",
        "| [3](table3_spatiotemporal.md) | row T+H+W is the best | not run | not run | not run "
        "| not run |",
        f"| [4](table4_sota-k400.md) | {claim} | not run | – | not run | – |",
        f"| [5](table5_sota-sthv2.md) | {claim} | – | not run | – | not run |",
        f"| [6](table6_backbones-k400.md) | {claim} | not run | – | does not hold: 3 tied; 3 "
        "clearly against it | – |",
        f"| [7](table7_backbones-sthv2.md) | {claim} | – | not run | – | not run |",
    ]


def test_a_table_with_its_protocol_seeds_and_claim(measure, tmp_path):
    sweep = measure("spatial", t_is_best, seeds=3)
    assert (
        "## [Table 2: Spatial shifts against the temporal one, α = 1/4](table2_spatial.md)\n\n"
        "Paper: T is best (74.43), 1.87 points above W (72.56); the paper gives no spread.\n\n"
        "- Set of order, short budget: 10 epochs, 3 seeds, test protocol "
        f"`{sweep.runs[0].recipe.protocol}` (the paper's: `k400-10x3@256`). The paper's claim (row "
        "T is the best) holds here (set of order): of 5 pairs of rows, 5 clearly as claimed.\n"
        "- Not run on the set of scenes: `stsm ablate spatial --dataset scenes`\n"
        "- Not run on Kinetics-400: `stsm ablate spatial --dataset k400 --data ROOT`\n"
        "- Not run on Something-Something V2: `stsm ablate spatial --dataset sthv2 --data ROOT`\n"
    ) in index_text(tmp_path)


def test_what_nobody_ran_is_open(measure, tmp_path):
    measure("alpha", lambda run: 50)
    text = index_text(tmp_path)
    assert (
        "Open: no run of these tables on Kinetics-400 or Something-Something V2 is recorded" in text
    )
    assert "- Not run on the set of scenes: `stsm ablate sota-k400 --dataset scenes`\n" in text
    assert "of all 19 that the paper prints, best is TDN [30], 2D R-50, 8 frames (76.6)." in text
    path = next(tmp_path.glob("records/*/*/0-seed0.json"))
    (record,) = [r for r in read_records(tmp_path) if r.row == "0"]
    data = record.recipe.data.model_copy(update={"dataset": "k400", "order": None})
    test = record.recipe.test.model_copy(update={"split": "val", "average": "score"})
    recipe = record.recipe.model_copy(update={"data": data, "test": test})
    known = {"recipe_hash": recipe_hash(recipe), "protocol": recipe.protocol}
    base = "k400/stsm_r50_8f"
    other = replace(record, dataset="k400", base=base, recipe=recipe, **known)
    folder = path.parent.name.replace("order-", "k400-")
    write_record(path.parents[1] / folder / path.name, other)
    text = index_text(tmp_path)
    assert "Open: no run of these tables on Something-Something V2 is recorded" in text
    assert "- Kinetics-400, short budget: 10 epochs, 1 seed, " in text


def test_without_any_record_every_table_is_named(tmp_path):
    text = write_index(tmp_path).read_text()
    for name in ablation_names():
        for dataset in load_ablation(name).made_here:
            command = f"`stsm ablate {name} --dataset {dataset}`\n"
            assert f"- Not run on the set of {dataset}: {command}" in text
    assert "no run of these tables on Kinetics-400 or Something-Something V2 is recorded" in text


def test_overridden_runs_are_linked_and_count_for_no_claim(measure, tmp_path):
    measure("alpha", lambda run: 50, overrides=["optim.lr=1"])
    text = index_text(tmp_path)
    assert "- Not run on the set of order: `stsm ablate alpha --dataset order`\n" in text
    assert (
        "- Runs with `--set`, which no claim above counts: "
        "[table1_alpha_custom.md](table1_alpha_custom.md)\n"
    ) in text
    assert "table2_spatial_custom" not in text


def test_rows_that_tables_share_are_named(measure, tmp_path):
    assert "share settings" not in index_text(tmp_path)
    measure("alpha", lambda run: 50)
    measure("alpha", lambda run: 50, dataset="scenes")
    text = index_text(tmp_path)
    assert text.count("share settings") == 1
    assert "in however many tables it stands.\n\nOn the set of scenes:\n\n- " in text
    assert "\n\nOn the set of order:\n\n- " in text
    assert "- 3/8 in Table 1; T+H+W in Table 3; STSM R-50 8f in Tables 5, 7\n" in text


def test_only_pictures_that_are_drawn_are_linked(measure, tmp_path):
    text = index_text(tmp_path)
    for name in ("audit.md", "figure1.svg", "figure4.svg"):
        assert f"]({name})" in text
    assert "class_pairs" not in text  # no run tells of pairs


def test_probes_are_linked_where_they_are(tmp_path):
    assert "probes.md" not in index_text(tmp_path)
    (tmp_path / "probes.md").touch()
    assert "without a network: [probes](probes.md).\n" in index_text(tmp_path)


def test_the_contrasts_of_the_plan_stand_first(tmp_path):
    text = index_text(tmp_path)
    assert text.index("## The plan's contrasts") < text.index("## Does it hold?")
    assert (
        "| P5 | set of order | T+H+W, α = 3/8 against 1/4 | +0.27 (Table 1, Kinetics-400) "
        "| – | – | – | – | **not yet run (0 of 9 seeds)** | – |\n"
    ) in text
    assert (
        "| Space alone: H+W, α = 1/4, against no shift | set of scenes | – | – | not yet run ("
        in (text)
    )
    assert "(shift_in_3d.md), [a shift that looks at the past alone](causal.md)." in text
    assert "Exploratory" not in text
    assert "history" not in text
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "README.md").touch()
    assert "[history](history/README.md)" in index_text(tmp_path)


def test_notes_that_are_not_utf_8_are_named(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "notes.md").write_bytes("größer".encode("latin-1"))
    with pytest.raises(DataError, match=r"notes\.md: is not UTF-8"):
        index_text(tmp_path)
