"""Runs that nobody trained: outcomes with chosen accuracies, and records made of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import comparable, summarise
from stsm_cli.analysis.sweep import Outcome, network, run_sweep
from stsm_cli.config.networks_3d import fusion_of
from stsm_cli.stored import Pair, wilson_interval

CLASSES = (("left_to_right", "right_to_left"), ("rotate_cw", "rotate_ccw"))


def outcome(correct, run, **origin):
    """A test of 100 videos with `correct` right answers, at the end of `run`."""
    curve = [30.0 + epoch for epoch in range(run.recipe.optim.epochs)]
    flow = run.flow and outcome(correct, run.flow, **origin)
    ids = {"order": "order/2", "scenes": "scenes/2"}
    names = {
        "names": ["rgb", "flow"],
        "weights": [1.0, 1.0],
        "by": fusion_of(run.recipe.model.backbone),
    }
    return Outcome(
        result={
            **({"fused": names} if run.flow else {}),
            "num_videos": 99,
            "num_listed": 100,
            "correct": correct,
            "top1": float(correct),
            "top1_interval": [100 * bound for bound in wilson_interval(correct, 100)],
            "top5": 99.0,
            "mean_class": float(correct),
            "pair_accuracy": 50 + correct / 2,
            "pairs": None,
            "seconds_train": 55.25,
            "seconds_eval": 2.5,
            "broken": ["val/00007.mp4"],
        },
        epochs=[{"train_loss": 1.5, "train_top1": 20.0, "val_top1": top1} for top1 in curve],
        environment={
            "recipe": "order/stsm",
            "data": "/home/someone/data",
            "command": "stsm ablate --out /home/someone",
            "stsm": "0.1.0",
            "commit": "abc1234",
            "python": "3.11.1",
            "packages": {"torch": "2.6.0"},
            "platform": "Linux x86_64",
            "device": "cpu",
            "cpu": "Some CPU 3",
            "cpu_capability": "AVX2",
            "decoder": "decord",
            "data_id": ids.get(run.recipe.data.dataset),
            **origin,
        },
        flow=flow,
    )


@pytest.fixture(autouse=True)
def quick_costs(monkeypatch):
    """Costs are counted elsewhere (test_cost.py); here they are given."""

    def look_up(config, *, size_px):
        if config.backbone == "resnet50":
            macs = 4_087_955_456 * config.num_frames * size_px**2 // 224**2
            return SimpleNamespace(macs=macs, params=24_327_632)
        return SimpleNamespace(macs=160_370_688, params=273_168)

    for module in ("sweep", "counted"):
        monkeypatch.setattr(f"stsm_cli.analysis.{module}.model_cost", look_up)
    network.cache_clear()
    yield
    network.cache_clear()


@pytest.fixture
def fake_outcome():
    return outcome


@pytest.fixture
def measure(tmp_path):
    """Record a sweep in `tmp_path`: `correct(run)` answers right, of 100; None: not run.

    Of rows that the paper has not only those that are named by `controls`.
    """

    def do(name, correct, init_sha256=None, controls=(), **options):
        every = plan_sweep(name, **options | {"full": True}).rows
        rows = [row.name for row in every if row.paper or row.name in controls]
        sweep = plan_sweep(name, only=rows, **options)
        wanted = tuple(run for run in sweep.runs if correct(run) is not None)
        run_sweep(
            replace(sweep, runs=wanted),
            tmp_path,
            lambda tasks: (
                (i, outcome(correct(run), run, init_sha256=init_sha256))
                for i, (run, _) in enumerate(tasks)
            ),
            on_record=lambda run, record, is_new: None,
        )
        return sweep

    return do


@pytest.fixture
def prepared(measure, tmp_path):
    """Record a sweep as `measure` does: the rows of its table, and its group."""

    def do(name, correct, **options):
        sweep = measure(name, correct, **options)
        (group,) = comparable(read_records(tmp_path))
        return summarise(sweep.ablation, load_paper_table(sweep.ablation.table), group), group

    return do


def with_pairs(record):
    """TSN 10 and 20 of 40 right and 20 in order; the others 38 - seed and 30, 40 and 39."""
    blind = record.recipe.model.shift is None
    counts = ((10, 20), (20, 20)) if blind else ((38 - 2 * record.seed, 40), (30, 39))
    pairs = tuple(
        Pair(classes, 40, correct, ordered)
        for classes, (correct, ordered) in zip(CLASSES, counts, strict=True)
    )
    return replace(record, score=replace(record.score, pairs=pairs))


@pytest.fixture
def records(tmp_path, measure):
    """Of everything that was measured, with counts of pairs."""

    def do():
        return [with_pairs(record) for record in read_records(tmp_path)]

    return do
