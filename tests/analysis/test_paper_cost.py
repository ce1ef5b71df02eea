from decimal import Decimal

import pytest

from stsm_cli.analysis.paper_cost import Comparison, compare_with_paper, paper_costs
from stsm_cli.config.schema import Backbone, ModelConfig, ShiftConfig


def compared(backbone: Backbone, num_frames: int, **changes) -> dict[int, Comparison]:
    wanted = {"num_classes": 400, "shift": ShiftConfig(), **changes}
    config = ModelConfig(backbone=backbone, num_frames=num_frames, **wanted)
    return {row.paper.table: row for row in compare_with_paper(config)}


def test_transcription():
    printed = [(p.table, p.num_frames, p.gflops, p.params, p.views) for p in paper_costs()]
    assert printed == [
        (2, 8, "33G", "24.3M", None),
        (3, 8, "33G", "24.3M", None),
        (4, 8, "33×3×10", "24.3M", 30),
        (4, 8, "2.55×3×10", "2.33M", 30),
        (4, 8, "-", "-", None),
        (5, 8, "33×3×2", "24.3M", 6),
        (5, 16, "65×3×2", "24.3M", 6),
        (5, 8, "2.55×3×2", "2.33M", 6),
        (5, 16, "5.1×3×2", "2.33M", 6),
    ]
    assert all({4: 400, 5: 174}.get(p.table, 400) == p.num_classes for p in paper_costs())
    assert paper_costs()[5].rows == ("TSN from [33]", "TSM from [33]", "STSM+TSN")


def test_resnet50_is_printed_at_the_training_crop_and_with_the_kinetics_head():
    rows = compared("resnet50", 8)
    assert list(rows) == [2, 3, 4, 5]
    crop = (
        "33 G is a view of 224² pixels; the tests see 256² (paper 4.2), where a view costs 42.71 G"
    )
    head = "24.3M is a head of 363 to 410 classes; with 174 classes it is 23.86M"
    assert [rows[table].reasons for table in (2, 3, 4)] == [(crop,)] * 3
    assert rows[5].reasons == (crop, head)
    assert (rows[4].params, rows[5].params) == (24_327_632, 23_864_558)
    assert rows[4].macs_train_crop == 32_703_643_648
    assert rows[4].macs_train_crop - rows[5].macs_train_crop == 8 * 2048 * (400 - 174)


@pytest.mark.parametrize(
    ("num_frames", "printed", "at_256", "with_elementwise", "alone"),
    [(8, "2.55", "3.13", "2.552", "2.40"), (16, "5.1", "6.26", "5.105", "4.80")],
)
def test_mobilenet_is_printed_by_another_counter_and_for_another_head(
    num_frames, printed, at_256, with_elementwise, alone
):
    assert compared("mobilenet_v2", num_frames)[5].reasons == (
        f"{printed} G is a view of 224² pixels; the tests see 256² (paper 4.2), "
        f"where a view costs {at_256} G",
        f"{printed} G counts batch norm (2 an element) and activations (1) too, "
        f"{with_elementwise} G; the multiply-adds alone are {alone} G",
        "2.33M is a head of 79 to 86 classes; with 174 classes it is 2.45M",
    )


@pytest.mark.parametrize("num_classes", [79, 86, 78, 87])
def test_the_named_heads_give_the_printed_parameters(num_classes):
    params = 2_736_272 + (num_classes - 400) * 1281
    fits = abs(Decimal(params) / 10**6 - Decimal("2.33")) <= Decimal("0.005")
    assert fits == (79 <= num_classes <= 86)


def test_a_dash_has_no_reasons(monkeypatch):
    monkeypatch.setattr("stsm_cli.analysis.paper_cost.TRAIN_CROP_PX", 32)
    monkeypatch.setattr("stsm_cli.analysis.paper_cost.TEST_CROP_PX", 64)
    (row,) = compared("resnet50", 8, non_local=True).values()
    assert row.reasons == ()
    assert row.paper.rows == ("TSM+NL [17]", "STSM+TSN+NL")
    assert row.params == 31_682_000


def test_neither_shift_nor_classes_change_the_comparison():
    asked = compared("mobilenet_v2", 8, num_classes=83, shift=None)
    assert asked == compared("mobilenet_v2", 8)


def test_what_the_paper_does_not_print_is_not_compared():
    assert compared("resnet18", 8) == {}
    assert compared("resnet50", 4) == {}
    assert compared("resnet50", 8, system="action", shift=None) == {}


def test_an_unexplained_figure_says_so(monkeypatch):
    (row,) = [p for p in paper_costs() if p.gflops == "5.1×3×2"]
    odd = row.model_copy(update={"gflops": "7.7×3×2"})
    monkeypatch.setattr("stsm_cli.analysis.paper_cost.paper_costs", lambda: (odd,))
    reason = compared("mobilenet_v2", 16)[5].reasons[0]
    assert reason == "no known count gives 7.7 G; a view of 224² is 4.80 G"
