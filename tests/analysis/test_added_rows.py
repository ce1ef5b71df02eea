from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.added_rows import PAGES, write_added_rows
from stsm_cli.analysis.records import read_record, write_record

IN_3D = ("SlowOnly", "SlowOnly T", "SlowOnly T+H+W")
CAUSAL = ("T-", "T-+H+W")


def texts(out):
    return {path.name: path.read_text() for path in write_added_rows(out)}


def tell_hits(out):
    """Let each record say which of its 100 videos it has right, so that rows can be compared."""
    for path in out.glob("records/*/*/*.json"):
        record = read_record(path)
        right = np.random.default_rng(record.seed).permutation(100) < record.score.top1
        hits = b64encode(np.packbits(right).tobytes()).decode()
        write_record(path, replace(record, score=replace(record.score, hits=hits)))


@pytest.mark.parametrize(
    ("page", "command"),
    [
        (
            "shift_in_3d.md",
            "stsm ablate backbones-sthv2 --dataset order --full --seeds 3 --row SlowOnly "
            "--row 'SlowOnly T' --row 'SlowOnly T+H+W'",
        ),
        (
            "causal.md",
            "stsm ablate spatiotemporal --dataset order --full --seeds 3 "
            "--row T --row T+H+W --row T- --row T-+H+W",
        ),
    ],
)
def test_before_a_run_a_page_says_so_and_how_to_run_it(tmp_path, page, command):
    text = texts(tmp_path)[page]
    assert f"Command: `{command}`\n" in text
    rows = next(known.rows() for known in PAGES if known.file == page)
    assert f"Not yet run in full: {', '.join(rows)}." in text
    assert "against" not in text
    assert "budget" not in text


@pytest.mark.parametrize(
    ("ablation", "rows", "shifts"),
    [
        ("backbones-sthv2", IN_3D, [None, ("T", "1/4"), ("T+H+W", "3/8")]),
        (
            "spatiotemporal",
            ("T", "T+H+W", *CAUSAL),
            [("T", "1/4"), ("T+H+W", "3/8"), ("T-", "1/4"), ("T-+H+W", "3/8")],
        ),
    ],
)
def test_rows_differ_in_the_shift_alone(ablation, rows, shifts):
    runs = plan_sweep(ablation, "order", full=True, only=rows).runs
    models = [run.recipe.model for run in runs]
    assert [m.shift and (m.shift.dims, str(m.shift.alpha)) for m in models] == shifts
    bare = [model.model_copy(update={"shift": None}) for model in models]
    plain = {run.recipe.model_copy(update={"model": bare[0]}).model_dump_json() for run in runs}
    assert len(plain) == 1
    assert all(model == bare[0] for model in bare)


def test_rows_that_are_run_are_compared(measure, tmp_path):
    means = dict(zip(IN_3D, (40, 70, None), strict=True))
    measure(
        "backbones-sthv2",
        lambda run: means.get(run.row.name),
        controls=IN_3D,
        seeds=3,
        full=True,
    )
    tell_hits(tmp_path)
    text = texts(tmp_path)["shift_in_3d.md"]
    assert "Long budget: 20 epochs." in text
    assert "| SlowOnly T | 70.0 | ± 0.0 (70.0 – 70.0) | 3 | 85.0 | 160.4 M | 0.27 M |" in text
    assert "| SlowOnly T+H+W | not run | – | – | – | – | – |" in text
    assert "| SlowOnly T against SlowOnly | +30.0 | " in text
    assert "Not yet run in full: SlowOnly T+H+W." in text


def test_a_row_with_fewer_seeds_is_not_compared(measure, tmp_path):
    measure("backbones-sthv2", lambda run: 50, controls=IN_3D, seeds=2, full=True)
    tell_hits(tmp_path)
    text = texts(tmp_path)["shift_in_3d.md"]
    assert "| SlowOnly | 50.0 | ± 0.0 (50.0 – 50.0) | 2 |" in text
    assert "against" not in text


def test_of_a_row_with_more_seeds_the_same_are_compared(measure, tmp_path):
    rows = (*CAUSAL, "T", "T+H+W")
    seeds = {"T": 9, "T+H+W": 9, "T-": 3, "T-+H+W": 3}
    measure(
        "spatiotemporal",
        lambda run: 60 + run.seed if run.seed < seeds.get(run.row.name, 0) else None,
        controls=rows,
        seeds=9,
        full=True,
    )
    tell_hits(tmp_path)
    text = texts(tmp_path)["causal.md"]
    for row in rows:
        assert f"| {row} | 61.0 | ± 1.0 (60.0 – 62.0) | 3 |" in text
    assert "| T- against T | +0.0 | " in text
    assert "| T-+H+W against T+H+W | +0.0 | " in text
    # of seeds 0 to 2 right are 61, of all nine 64 of 100
    assert "| T- against T, its 9 seeds | -3.0 | " in text
    assert "| T-+H+W against T+H+W, its 9 seeds | -3.0 | " in text
    assert "Not yet run" not in text


def test_runs_that_are_not_as_planned_are_none_of_a_row(measure, tmp_path):
    measure("backbones-sthv2", lambda run: 50, controls=IN_3D, seeds=3, full=True)
    on_gpu, old, blind = sorted(tmp_path.glob("records/*/*/SlowOnly-seed*.json"))
    for path, change in ((on_gpu, {"device": "NVIDIA H100"}), (old, {"data_id": "order/1"})):
        record = read_record(path)
        write_record(path, replace(record, environment=record.environment | change))
    record = read_record(blind)
    write_record(blind, replace(record, score=replace(record.score, pair_accuracy=None)))
    text = texts(tmp_path)["shift_in_3d.md"]
    assert "| SlowOnly | 50.0 | – | 1 | – | " in text
    assert "Not yet run in full: SlowOnly." in text
