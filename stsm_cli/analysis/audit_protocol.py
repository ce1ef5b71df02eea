"""The audit of the paper's section 4: data, training and test, against MMAction2's recipes.

The paper ran “on MMAction2”; what it leaves unsaid, and what it says otherwise, is set beside the
configurations of that time.
"""

from decimal import Decimal
from typing import Any

import numpy as np

from stsm_cli.analysis.finding import Finding, quoted
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX, paper_costs
from stsm_cli.analysis.printed import top1
from stsm_cli.config.load import load_yaml
from stsm_cli.config.schema import DatasetName
from stsm_cli.data.sampling import dense_test, dense_train, uniform_test
from stsm_cli.resources import resource_dir

LR, BATCH_SIZE, WEIGHT_DECAY = Decimal("7.5e-3"), 48, Decimal("1e-4")  # paper 4.2


def protocol_findings() -> list[Finding]:
    """In the paper's order."""
    return [
        _video_counts(),
        _learning_rate(),
        _weight_decay(),
        _unmentioned(),
        _sixteen_frames(),
        _train_crop(),
        _mirrors(),
        _views(),
        _test_crop(),
    ]


def _card(dataset: DatasetName) -> Any:  # noqa: ANN401
    return load_yaml(resource_dir("datasets") / f"{dataset}.yaml")


def _video_counts() -> Finding:
    k400, sthv2 = _card("k400")["videos"], _card("sthv2")["videos"]
    total = sum(split["present"] for split in sthv2.values())
    return Finding(
        "section 4.1",
        "sizes of the data sets",
        "Kinetics-400 240k + 20k, Something-Something V2 220k",
        f"{k400['train']['present']:,} + {k400['val']['present']:,} of "
        f"{k400['train']['listed']:,} + {k400['val']['listed']:,} listed; {total:,}",
        "holds: how many of Kinetics-400's videos the paper's copy still had is not stated",
    )


def _learning_rate() -> Finding:
    names = ("lr_k400", "lr_sthv2")
    pairs = [quoted(name).value.split(" at ") for name in names]
    k400, sthv2 = (Decimal(lr) / int(batch) for lr, batch in pairs)
    return Finding(
        "section 4.2",
        "learning rate and batch",
        "“initial learning rate 7.5×10^{-3}”, “batch size 48”",
        f"{LR / BATCH_SIZE:.4e} a video; MMAction2's TSM: {k400:.4e} on Kinetics-400 "
        f"({quoted('lr_k400').value}), {sthv2:.4e} on Something-Something V2 "
        f"({quoted('lr_sthv2').value})",
        "holds: it is MMAction2's rate, by the linear rule",
        names,
    )


def _weight_decay() -> Finding:
    names = ("weight_decay_sthv2", "weight_decay_mbv2")
    sthv2, mbv2 = (Decimal(quoted(name).value) for name in names)
    return Finding(
        "section 4.2",
        "one weight decay for everything",
        "“a weight decay of 1×10^{-4}”",
        f"MMAction2's TSM has {sthv2:.0e} on Something-Something V2 ({sthv2 / WEIGHT_DECAY:.0f} "
        f"times as much) and {mbv2:.0e} with MobileNetV2 ({WEIGHT_DECAY / mbv2:.0f} times less)",
        "open: a departure from MMAction2, or a sentence about ResNet-50 on Kinetics-400 only",
        names,
    )


def _unmentioned() -> Finding:
    names = ("fc_multiplier", "gradient_norm")
    multiplier, norm = (quoted(name).value for name in names)
    return Finding(
        "section 4.2",
        "the optimiser",
        "SGD with momentum 0.9, “on MMAction2”; nothing on parameter groups or clipping",
        f"MMAction2's TSM gives the classifier's weights {multiplier} times the learning rate and "
        f"clips gradients at norm {norm}",
        "not stated: “on MMAction2” implies both",
        names,
    )


def _sixteen_frames() -> Finding:
    rows = [
        row
        for table in (5, 7)
        for row in load_paper_table(table).rows
        if row.num_frames == "16" and not row.cited
    ]
    return Finding(
        "section 4.2",
        "frames a video",
        "num_clips=8 on both data sets",
        f"{len(rows)} STSM rows of Tables 5 and 7 have 16 frames",
        "not stated: how they were trained",
    )


def _train_crop() -> Finding:
    return Finding(
        "section 4.2",
        "training crops",
        "one of the “ten-crops” of 224×224, short side 256",
        f"5 positions and their mirror images at scale {TRAIN_CROP_PX / TEST_CROP_PX:g} only; "
        f"MMAction2's TSM: {quoted('train_crop').value}",
        "open: no TSM recipe of MMAction2 trains on ten crops",
        ("train_crop",),
    )


def _mirrors() -> Finding:
    card = _card("sthv2")
    swapped = 2 * len(card["mirror_pairs"])
    return Finding(
        "section 4.2",
        "mirrored crops, on both data sets",
        "“their horizontal mirroring flips”",
        f"a mirror turns {swapped} of the {card['num_classes']} classes of Something-Something V2 "
        f"into one another; mirroring there in MMAction2's TSM: {quoted('flip_sthv2').value}",
        "open: taken literally, half the crops of those classes carry a wrong label",
        ("flip_sthv2",),
    )


def _views() -> Finding:
    num_frames, total = 8, 300  # any video long enough
    train = len(dense_train(total, num_frames, np.random.default_rng(0)))
    test = len(dense_test(total, num_frames))
    twice = len(uniform_test(total, num_frames, twice=True))
    views = {c.gflops.split("×", 1)[1]: c.views for c in paper_costs() if c.views}
    return Finding(
        "section 4.2, Tables 4 and 5",
        "views in a test",
        "text: sampling “the same as during training”, “three-crops”; tables: "
        f"{' and '.join(f'×{factors}' for factors in views)}",
        f"{3 * train} views by the text, {' and '.join(map(str, views.values()))} by the tables",
        f"inexact: ×10 needs dense sampling's test mode ({test} clips), ×2 uniform sampling twice "
        f"({twice} clips); the text names neither",
    )


def _test_crop() -> Finding:
    return Finding(
        "section 4.2, Tables 2 and 3",
        "T(MMAction2), top-1 74.43",
        "“256×256 pixel frames”, “three-crops”",
        f"MMAction2 publishes {quoted('tsm_k400_dense').value} for this network, tested on "
        f"{quoted('test_crop_k400').value} and 10 clips; no {top1(2, 'T(MMAction2)')}",
        "open: presumably its checkpoint, tested anew on the paper's crops",
        ("tsm_k400_dense", "test_crop_k400"),
    )
