"""Every finding against numbers worked out by hand from the printed paper."""

from pathlib import Path

import pytest

from stsm_cli.analysis.audit import audit_sections, audit_text, write_audit
from stsm_cli.analysis.finding import KINDS, known_facts
from stsm_cli.errors import DataError

RESULTS = Path(__file__).parents[2] / "results"

# Claim: what `computed` must say, piece by piece.
OPERATOR = {
    "STSM goes into 2D and 3D networks": ["0 of the 13 STSM rows"],  # 3 + 4 + 3 + 3
    "the module is free": ["0 multiply-adds and 0 parameters"],
    # 3·3; 3·3·3 with 2·2·2 corners; T: 2·9, and in the frame itself 3·5 + 5·3 − 3·3
    "a network with TSM learns time and space apart, one with T+H+W jointly": [
        "sees 9 positions",
        "27 with TSM, 8 of them off",
        "and 39 with T+H+W",
    ],
    "at α=1/4 of 64 channels the 1st to the 16th move, the dimensions as equals": [
        "are 8/3 each",
        "slices of 3+2+3+3+2+3",  # bounds 0 2.67 5.33 8 10.67 13.33 16, rounded
    ],
    "every α moves its share in equal parts along T, H and W": [
        "4 of 6 do not divide",
        "(64, 256, 512, 1024, 2048)",
        "1/8: 1+2+1+1+2+1 = 8, floored 6; 1/4: 3+2+3+3+2+3 = 16, floored 12; "
        "1/2: 5+6+5+5+6+5 = 32, floored 30; 1: 11+10+11+11+10+11 = 64, floored 60",
    ],
    "α=3/8 in MobileNetV2": [
        "1 of 10 sites has 24 channels, 1.5 a slice: here 2+1+2+1+2+1 = 9, floored 6"
    ],
    "what HW, TH and TW move, how a sum shares α, and what comes in over a border": [
        "HW takes two of its four diagonals",
        "what the other choices are worth is not measured",
    ],
    "TSM's α=1/4 is STSM's 3/4; at STSM's 3/8 only 1/8 of the channels move in time": [
        "16 move in time in TSM, 16 at α=3/4 and 8 at α=3/8"
    ],
}
PROTOCOL = {
    "sizes of the data sets": ["240,258 + 19,881 of 246,534 + 19,906", "220,847"],
    "learning rate and batch": [
        "1.5625e-4 a video",  # 0.0075/48 = 0.01/64
        "1.5625e-4 on Kinetics-400 (0.01 at 64)",
        "1.5625e-4 on Something-Something V2 (0.0075 at 48)",
    ],
    "one weight decay for everything": [
        "5e-4 on Something",
        "(5 times as",
        "2e-5 with",
        "(5 times l",
    ],
    "the optimiser": ["weights 5 times the learning rate", "norm 20"],
    "frames a video": ["3 STSM rows"],  # one with MobileNetV2, and one row in both tables
    "training crops": ["scale 0.875 only", "13 positions, 4 scales"],
    "mirrored crops, on both data sets": ["6 of the 174 classes"],
    "views in a test": ["3 views by the text, 30 and 6 by the tables"],
    "T(MMAction2), top-1 74.43": ["publishes 74.55", "10 crops of 224²", "no 74.43"],
}
ABLATIONS = {
    "accuracy rises with α up to 3/8": ["3 of 3 pairs", "1/4 against 1/8: +0.15"],
    "accuracy falls with α above 3/8": ["3 of 3 pairs", "3/8 against 1/2: +0.23"],
    "every shift in space improves on TSN": ["4 of 4 pairs", "H against TSN: +1.65"],
    "the shift in time is better than every shift in space": ["4 of 4", "T against W: +1.87"],
    "H, W and H+W are each better than HW (H+W alone may be meant)": [
        "2 of 3",
        "H against HW: -0.11",
    ],
    "every shift in space and time is better than T alone": ["5 of 5", "T+H+W+HW against T: +0.07"],
    "T+H+W is the best of them": ["4 of 4", "T+H+W against TH+TW+HW: +0.09"],
    # 1.96·√(0.7504·0.2496/19881) = 0.602 %; 74.81 74.77 74.62 74.49 are nearer
    "differences of one run each decide": ["± 0.60 points", "4 of the 6 other"],
    "what TSN, the network without a shift, reaches": ["+4.44 over", "+2.88 over", "5 uniform"],
    "shifts in space improve the backbone": ["+1.65 to +1.96", "α=0 +0.09 to +0.40"],
    "sums of one-dimensional shifts let the network choose": ["W alone (72.56)", "-0.03 points"],
    "shifts in space and time beat T alone": ["+0.07 to +0.61", "74.55", "-0.05 to +0.49"],
    "what T+H+W at α=3/8 starts from": ["75.04 and 75.04: the same"],
    "the two-dimensional shifts that T+H+W can become": ["TH, TW, HW"],
}
KINETICS = {
    "state of the art on both data sets": [
        "STSM+TSN+NL 75.9 is below TDN [30] 76.6, SmallBigNet [15] 76.3;",
        "STSM+TSN 63.5 is below ACTION-Net [33] 64, TDN [30] 64.0, MG-TEA [38] 63.8",
    ],
    "a better trade-off than TSM, TRN and TSN": ["48.8 at 16×3×2", "61.3 at 33×3×2"],
    "1.5 % above TPN": ["75.0 − 73.5 = 1.5"],
    "higher than other 2D networks (those of R-50), with less computation": [
        "above it TDN [30] 76.6, TSM+NL [17] 75.7; equal TEA [16] 75.0"
    ],
    "TSM improves TSN by 3.5 %": ["74.1 − 70.6 = 3.5"],
    "STSM improves TSN by 4.4 %": ["75.0 − 70.6 = 4.4"],
    # 4.4/3.5 = 1.2571; 4.44/3.83 = 1.1593
    "STSM improves TSN by 22 % more than TSM does": ["25.7 % more", "15.9 %"],
    "STSM's gain over TSM on Kinetics-400": ["+0.9 points", "74.43, +0.61", "74.55, +0.49"],
    "STSM improves MobileNetV2": ["+0.4 points", "69.89: +0.01"],
}
SOMETHING = {
    "more competitive on Something-Something V2": [
        "Kinetics-400 0.7, with ResNet-50 and 8 frames 1.6",
        "Something-Something V2 0.5, with ResNet-50 and 8 frames 2.7",
    ],
    "among 3D networks of as many frames, second only to ACTION-Net": [
        "61.3: above it SELFYNet-R50 [14] 62.7, ACTION-Net [33] 62.5;",
        "16 frames, 63.5: ACTION-Net [33] 64",
    ],
    "less computation and fewer parameters than ACTION-Net": [
        "33×3×2 and 24.3M against 34.75×3×2 and 28.08M"
    ],
    "among 2D networks of as many frames, second only to TDN and MG-TEA": [
        "above it TDN [30] 64.0, MG-TEA [38] 62.5;",
        "16 frames, 63.5: MG-TEA [38] 63.8",
    ],
    "MG-TSM is 1.2 % lower": ["61.3 − 60.1 = 1.2"],
    "STSM's gain over TSM on Something-Something V2": ["+2.6 and +2.3", "+2.2 and +0.1"],
    "better than TSM with every backbone and number of frames": [
        "+0.9 over TSM+TSN [17], R-50, 8; +0.2 over TSM+TSN+NL [17], R-50, 8; "
        "+0.4 over TSM+TSN [17], Mb_V2, 8; +2.2 over TSM+TSN [17], R-50, 8; "
        "+3.5 over TSM+TSN from [33], R-50, 8; +0.1 over TSM+TSN [17], R-50, 16; "
        "+2.3 over TSM+TSN from [33], R-50, 16; +1.4 over TSM+TSN from [33], Mb_V2, 8"
    ],
    "STSM is better than TSM at the paper's own protocol, 3×2 views": [
        "MMAction2 61.82 (-0.52)",
        "63.19 (+0.31)",
        "61.2 (+0.1) and 63.1 (+0.4)",
        "62.3 (-1.0)",
    ],
    "rows of the same backbone cost the same": ["33×3×2 and 65×3×2"],
}
LABELS = {
    "R(2+1)D has 50 layers": ["63.6M for 34", "34 layers have 61.8M, 50 have 53.9M"],
    "R(2+1)D sees 16 frames": ["75 G with 16 frames, 150 G with 32"],
    "SlowOnly and SlowFast start from ImageNet": ["72.76 without", "73.39 from", "75.55 without"],
    "TPN is a 3D network": ["TSN is 2D"],
    "TRN is a 3D network": ["“2D CNNs”"],
    "ACTION-Net is a 3D network": ["“embedded it in 2D CNNs”"],
    "TRN": ["[39] and [40]"],
    "TDN's accuracy is of 3×2 views of 8 frames": ["64.0", "8x1x1", "5 frames, so a view 40"],
    "SlowFast, 4×16, R-50": ["3.68 times", "131.4 G a view of 256²"],  # 132.8/36.1
    "SmallBigNet, 8 frames, R-50": ["5 G"],
    "I3D's rows are of the validation set": ["71.1 of RGB, 74.2 of both"],
    "two-stream rows cost twice the row above": ["6 of 6"],
    "rows that stand in two tables agree": ["15 of 16"],
    "TSM with non-local blocks": ["75.6", "+0.2 or +0.3"],
}
COSTS = {
    "cost in FLOPs": ["32.70 G multiply-adds", "65.41 G floating"],
    "what a test of ResNet-50 costs": [
        "224²: 32.70 G; of 256²: 42.71 G",
        "990.0 G, really 1,281.39 G",
    ],
    "what a test of MobileNetV2 costs": ["2.40 G; of 256²: 3.13 G", "76.5 G, really 94.01 G"],
    "8 and 16 frames of ResNet-50": ["32.70 G and 65.40 G"],
    "a view of MobileNetV2, 8 frames": ["2.552 G with the head of 79 classes", "alone are 2.40 G"],
    "what ResNet-50 with non-local blocks costs": ["61.10 G", "1.87 times", "31.68M"],
    # 23,508,032 + 2049 a class
    "parameters of ResNet-50 on Something-Something V2": [
        "23,864,558 with 174 classes, 24,327,632 with 400 classes"
    ],
    # 2,223,872 + 1281 a class
    "parameters of MobileNetV2": [
        "2,736,272 with 400 classes, 2,446,766 with 174 classes, 2,330,195 with 83 classes",
        "79 to 86",
    ],
    "parameters of TRN": ["13.14M with 174 classes"],
    "costs in one column are of one size of picture": [
        "views of 112², 224², 256²: R(2+1)D [28] 112²",
        "SlowFast from [3] 256²",
    ],
}
EXPECTED = (OPERATOR, PROTOCOL, ABLATIONS, KINETICS, SOMETHING, LABELS, COSTS)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A folder of results without records."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def sections(empty):
    return [found for _, found in audit_sections(empty)]


@pytest.fixture(scope="module")
def text(empty):
    return audit_text(empty)


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_computed_values(sections, number):
    found = {finding.claim: finding for finding in sections[number]}
    assert list(found) == list(EXPECTED[number])
    for claim, pieces in EXPECTED[number].items():
        for piece in pieces:
            assert piece in found[claim].computed


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        ("a network with TSM learns time and space apart, one with T+H+W jointly", "does not hold"),
        ("learning rate and batch", "holds"),
        ("H, W and H+W are each better than HW (H+W alone may be meant)", "inexact"),
        ("what TSN, the network without a shift, reaches", "contradiction"),
        ("STSM improves TSN by 4.4 %", "holds"),
        ("STSM improves TSN by 22 % more than TSM does", "does not hold"),
        ("rows that stand in two tables agree", "contradiction"),
        ("α=3/8 in MobileNetV2", "not stated"),
    ],
)
def test_verdicts(sections, claim, kind):
    (finding,) = [one for found in sections[:7] for one in found if one.claim == claim]
    assert finding.kind == kind


def test_every_verdict_has_a_kind_and_gives_a_reason(sections):
    for finding in (one for found in sections for one in found):
        assert finding.kind in KINDS
        assert finding.because
        assert finding.where
        assert finding.printed


def test_what_nothing_computes_says_so(sections, text):
    read = [one.claim for found in sections for one in found if one.is_read]
    of_shift = "what HW, TH and TW move, how a sum shares α, and what comes in over a border"
    assert read == [of_shift, "the optimiser"]
    assert "**not stated** (read, not computed): “on MMAction2” implies both" in text
    assert text.count("(read, not computed)") == 2


def test_every_quoted_fact_is_used_and_has_a_source(sections):
    used = {name for found in sections for one in found for name in one.facts}
    assert used == set(known_facts())
    for name in used:
        repository = known_facts()[name].source.split()[0]
        assert repository == "mmaction2" or repository.count("/") == 1


def test_without_records_nothing_is_measured(sections):
    assert {finding.computed for finding in sections[7]} == {"not run"}
    assert {finding.kind for finding in sections[7]} == {"open"}


def test_the_text_counts_numbers_and_names_sources(sections, text):
    total = sum(len(found) for found in sections)
    assert f"\n{total} statements: " in text
    assert text.count("- Verdict: **") == text.count('<a id="') == total
    assert f"\n### {total}. " in text
    assert "- Source: `mmaction2 v0.20 configs/recognition/tsm/README.md`" in text


def test_results_are_in_step_with_the_code():
    """If this fails, write `results/audit.md` again and read what changed."""
    assert (RESULTS / "audit.md").read_text() == audit_text(RESULTS)


def test_it_is_written_and_the_same_each_time(text, tmp_path):
    path = write_audit(tmp_path)
    assert path == tmp_path / "audit.md"
    assert path.read_text() == text


def test_a_broken_record_is_named(tmp_path):
    path = tmp_path / "records" / "table1_alpha" / "some" / "0-seed0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(DataError, match=r"0-seed0\.json: not a run record"):
        audit_text(tmp_path)
