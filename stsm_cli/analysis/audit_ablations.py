"""The audit of Tables 1 to 3 (section 5.1) beyond the order of their rows."""

from decimal import Decimal
from math import sqrt

from stsm_cli.analysis.audit_order import SPATIAL, SPATIOTEMPORAL
from stsm_cli.analysis.finding import Finding, quoted
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.printed import top1
from stsm_cli.config.load import load_yaml
from stsm_cli.resources import resource_dir

TSN, MMACTION2 = "TSN (R-50) from [17]", "T(MMAction2)"


def ablation_findings() -> list[Finding]:
    """In the paper's order."""
    return [
        _resolution(),
        _two_baselines(),
        _spatial_gain(),
        _spatial_best(),
        _against_the_published_tsm(),
        _initialisation(),
        _misprint(),
    ]


def _resolution() -> Finding:
    table = sorted((row.percent for row in load_paper_table(1).rows), reverse=True)
    card = load_yaml(resource_dir("datasets") / "k400.yaml")
    num_videos = card["videos"]["val"]["present"]
    share = float(table[0]) / 100
    half = 100 * 1.959964 * sqrt(share * (1 - share) / num_videos)
    near = sum(float(table[0] - value) < half for value in table[1:])
    return Finding(
        "section 5.1, Tables 1 to 3",
        "differences of one run each decide",
        f"Table 1: {table[0]}, {table[1]}, {table[2]}, …; no spread, no seeds",
        f"with {num_videos:,} test videos the 95 % interval of {table[0]} is ± {half:.2f} points; "
        f"{near} of the {len(table) - 1} other values of α lie within it",
        "open: most differences between settings are as small as the choice of test videos makes "
        "them, before any spread of training",
    )


def _two_baselines() -> Finding:
    own, cited, best = top1(1, "0"), top1(2, TSN), top1(1, "3/8")
    return Finding(
        "Table 1 against Tables 2, 3, 4 and 6",
        "what TSN, the network without a shift, reaches",
        f"α=0: {own}; TSN: {cited}",
        f"α=0 moves nothing and so is TSN; STSM's gain is {best - cited:+} over the cited TSN and "
        f"{best - own:+} over the paper's own. The cited one was trained on "
        f"{quoted('mit_tsn_training').value}",
        f"contradiction: one baseline, two accuracies, {own - cited} points apart; the paper "
        "measures its gain from the lower",
        ("mit_tsn_training",),
    )


def _spatial_gain() -> Finding:
    gains = {
        base: [top1(2, row) - base for row in SPATIAL] for base in (top1(2, TSN), top1(1, "0"))
    }
    cited, own = gains.values()
    return Finding(
        "section 5.1, Table 2",
        "shifts in space improve the backbone",
        "“proves the effectiveness of spatial Shift”",
        f"{min(cited):+} to {max(cited):+} points over the cited TSN; over Table 1's α=0 "
        f"{min(own):+} to {max(own):+}",
        "open: little is left over the paper's own baseline",
    )


def _spatial_best() -> Finding:
    best = max(SPATIAL, key=lambda row: top1(2, row))
    return Finding(
        "section 5.1, Table 2",
        "sums of one-dimensional shifts let the network choose",
        "“adaptively selecting”, from H+W",
        f"the best shift in space is {best} alone ({top1(2, best)}); adding H to it changes "
        f"{top1(2, 'H+W') - top1(2, 'W'):+} points",
        "open: the table's own numbers do not show a choice that helps",
    )


def _against_the_published_tsm() -> Finding:
    published = Decimal(quoted("tsm_k400_dense").value)
    own = [top1(3, row) - top1(3, MMACTION2) for row in SPATIOTEMPORAL]
    other = [top1(3, row) - published for row in SPATIOTEMPORAL]
    return Finding(
        "section 5.1, Table 3",
        "shifts in space and time beat T alone",
        f"T(MMAction2): {top1(3, MMACTION2)}",
        f"{min(own):+} to {max(own):+} points over that number; over the {published} that "
        f"MMAction2 publishes (other crops) {min(other):+} to {max(other):+}",
        "open: the margin is the test protocol's as much as the shift's",
        ("tsm_k400_dense",),
    )


def _initialisation() -> Finding:
    in_table_1, in_table_3 = top1(1, "3/8"), top1(3, "T+H+W")
    same = "the same" if in_table_1 == in_table_3 else "different"
    return Finding(
        "Table 1 against Table 3",
        "what T+H+W at α=3/8 starts from",
        "Table 1: “pre-trained by ImageNet”; Table 3: “the checkpoint of TSM on Kinetics-400”",
        f"{in_table_1} and {in_table_3}: {same} to the last digit",
        "contradiction: one run cannot have had both starts; from a TSM checkpoint it has also "
        "been trained longer than TSM",
    )


def _misprint() -> Finding:
    return Finding(
        "section 5.1, after Table 3",
        "the two-dimensional shifts that T+H+W can become",
        "“two-dimensional Shift TH, TW, TH”",
        "3.1 lists TH, TW, HW",
        "inexact: a misprint for HW",
    )
