"""The audit of what the paper says about Kinetics-400: the abstract and 5.2 against Table 4."""

from decimal import Decimal

from stsm_cli.analysis.finding import Finding, quoted
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.printed import best_of_ours, difference, rows_above, top1

TSN, TSM, STSM = "TSN from [17], 2D R-50, 8", "TSM [17], 2D R-50, 8", "STSM+TSN, 2D R-50, 8"


def kinetics_findings() -> list[Finding]:
    """In the paper's order."""
    return [
        _state_of_the_art(),
        _trade_off(),
        difference(4, "1.5 % above TPN", "1.5%", STSM, "TSN-50 + TPN [36], 3D R-50, 8"),
        _other_2d(),
        difference(4, "TSM improves TSN by 3.5 %", "3.5%", TSM, TSN),
        difference(4, "STSM improves TSN by 4.4 %", "4.4%", STSM, TSN),
        _twenty_two_percent(),
        _which_tsm(),
        _mobilenet(),
    ]


def _state_of_the_art() -> Finding:
    texts = []
    for table in (4, 5):
        best = best_of_ours(table)
        above = rows_above(table, best, lambda row: True)
        texts.append(f"Table {table}: {best.setting} {best.top1} is below {', '.join(above)}")
    return Finding(
        "abstract, section 1, Figure 1",
        "state of the art on both data sets",
        "“achieved state-of-the-art results”",
        "; ".join(texts),
        "does not hold: in the paper's own tables; “or competitive” (contributions) is fair",
    )


def _trade_off() -> Finding:
    trn = load_paper_table(5).row("MultiScale TRN [40], 3D BNInception, 8")
    ours = load_paper_table(5).row(STSM)
    return Finding(
        "Figure 1",
        "a better trade-off than TSM, TRN and TSN",
        "“better accuracy computation trade-off”",
        f"TSM and TSN cost the same and score less; TRN: {trn.top1} at {trn.flops}, STSM "
        f"{ours.top1} at {ours.flops}",
        "holds: against TSM and TSN; against TRN, which is cheaper and weaker, it is a matter of "
        "taste",
    )


def _other_2d() -> Finding:
    ours = load_paper_table(4).row(STSM)
    above = rows_above(4, ours, lambda row: row.backbone == ours.backbone)
    equal = [
        f"{row.setting} {row.top1}"
        for row in load_paper_table(4).rows
        if row.cited and row.backbone == ours.backbone and row.percent == ours.percent
    ]
    return Finding(
        "section 5.2, Table 4",
        "higher than other 2D networks, with less computation",
        "“higher performance with a lower amount of calculations”",
        f"STSM+TSN {ours.top1}: above it {', '.join(above)}; equal {', '.join(equal)}",
        "does not hold: it is lower than the two and no higher than the third; its computation is "
        "the least",
    )


def _twenty_two_percent() -> Finding:
    gain_stsm, gain_tsm = top1(4, STSM) - top1(4, TSN), top1(4, TSM) - top1(4, TSN)
    unrounded = top1(1, "3/8") - top1(4, TSN)
    own_tsm = top1(2, "T(MMAction2)") - top1(4, TSN)
    return Finding(
        "section 5.2, Table 4",
        "STSM improves TSN by 22 % more than TSM does",
        "“22% higher than TSM”",
        f"{gain_stsm} against {gain_tsm} points: {_more(gain_stsm, gain_tsm)} more; with Table 1's "
        f"{top1(1, '3/8')} and T(MMAction2): {_more(unrounded, own_tsm)}",
        "does not hold: neither gives 22",
    )


def _more(gain: Decimal, base: Decimal) -> str:
    return f"{100 * (gain / base - 1):.1f} %"


def _which_tsm() -> Finding:
    ours, zoo = top1(1, "3/8"), Decimal(quoted("tsm_k400_dense").value)
    own = top1(2, "T(MMAction2)")
    return Finding(
        "Tables 1 to 4",
        "STSM's gain over TSM on Kinetics-400",
        f"Table 4: {top1(4, STSM)} against {top1(4, TSM)}, from [17]",
        f"{top1(4, STSM) - top1(4, TSM):+} points; over T(MMAction2), {own}, "
        f"{ours - own:+}; over MMAction2's {zoo}, {ours - zoo:+}",
        "inexact: Table 4 leaves out the stronger TSM of Tables 2 and 3",
        ("tsm_k400_dense",),
    )


def _mobilenet() -> Finding:
    ours, cited = top1(4, "STSM+Mb_V2, 2D Mb_V2, 8"), top1(4, "TSM+Mb_V2 [17], 2D Mb_V2, 8")
    ported = Decimal(quoted("tsm_k400_mbv2").value)
    return Finding(
        "Tables 4 and 6",
        "STSM improves MobileNetV2",
        f"{ours} against {cited}",
        f"{ours - cited:+} points; TSM's own weights, tested in MMAction2 on 3×10 views, give "
        f"{ported}: {ours - ported:+}",
        "open: tested in one framework, the two are alike",
        ("tsm_k400_mbv2",),
    )
