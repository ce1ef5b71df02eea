from base64 import b64encode
from dataclasses import replace

import numpy as np

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.records import read_record, write_record
from stsm_cli.analysis.shift_in_3d import write_shift_in_3d

ROWS = ("SlowOnly", "SlowOnly T", "SlowOnly T+H+W")


def test_before_a_run_it_says_so_and_how_to_run_it(tmp_path):
    text = write_shift_in_3d(tmp_path).read_text()
    assert "Not run: SlowOnly, SlowOnly T, SlowOnly T+H+W. So nothing is said here" in text
    assert (
        "Command: `stsm ablate backbones-sthv2 --dataset order --full --seeds 3 --row SlowOnly "
        "--row 'SlowOnly T' --row 'SlowOnly T+H+W'`\n"
    ) in text
    assert "against" not in text


def test_its_rows_differ_in_the_shift_alone():
    runs = plan_sweep("backbones-sthv2", "order", full=True, only=ROWS).runs
    plain = {run.recipe.model_copy(update={"model": None}).model_dump_json() for run in runs}
    assert len(plain) == 1
    assert {run.recipe.model.backbone for run in runs} == {"slow_resnet_small"}
    shifts = [run.recipe.model.shift for run in runs]
    assert [shift and (shift.dims, str(shift.alpha)) for shift in shifts] == [
        *(None, ("T", "1/4"), ("T+H+W", "3/8"))
    ]


def test_rows_that_are_run_are_compared(measure, tmp_path):
    means = dict(zip(ROWS, (40, 70, None), strict=True))
    measure(
        "backbones-sthv2",
        lambda run: means.get(run.row.name),
        controls=ROWS,
        seeds=2,
        full=True,
    )
    for path in tmp_path.glob("records/*/*/*.json"):
        record = read_record(path)
        right = np.random.default_rng(record.seed).permutation(100) < means[record.row]
        hits = b64encode(np.packbits(right).tobytes()).decode()
        write_record(path, replace(record, score=replace(record.score, hits=hits)))
    text = write_shift_in_3d(tmp_path).read_text()
    assert "Full budget: 20 epochs, 2 seeds." in text
    assert "| SlowOnly T | 70.0 | ± 0.0 (70.0 – 70.0) | 2 | 85.0 | 160.4 M | 0.27 M |" in text
    assert "| SlowOnly T+H+W | not run | – | – | – | – | – |" in text
    assert "| SlowOnly T against SlowOnly | +30.0 | " in text
    assert "Not run: SlowOnly T+H+W." in text
