"""The audit of cells of Tables 4 to 7 against each other."""

from collections.abc import Callable
from decimal import Decimal

from stsm_cli.analysis.finding import Finding, quoted
from stsm_cli.analysis.paper import PaperRow, load_paper_table
from stsm_cli.analysis.printed import top1


def cell_findings() -> list[Finding]:
    """In the order of the tables' rows."""
    return [
        _slowfast_twice(),
        _small_big_net_twice(),
        _two_streams(),
        _cells_in_two_tables(),
        _non_local(),
    ]


def _number(text: str | None) -> Decimal:
    return Decimal((text or "").split("×")[0].rstrip("M"))


def _slowfast_twice() -> Finding:
    k400 = load_paper_table(4).row("SlowFast [4], 3D R-50, 4×16")
    sthv2 = load_paper_table(5).row("SlowFast from [3], 3D R-50, 4×16")
    ratio = _number(sthv2.flops) / _number(k400.flops)
    return Finding(
        "Table 4 against Table 5",
        "SlowFast, 4×16, R-50",
        f"Table 4: {k400.flops}, {k400.params}; Table 5: {sthv2.flops}, {sthv2.params}",
        f"{ratio:.2f} times the cost under one label",
        "contradiction: Table 5's is another network or input, its views are not printed",
    )


def _small_big_net_twice() -> Finding:
    k400 = load_paper_table(4).row("SmallBigNet [15], 3D R-50, 8")
    sthv2 = load_paper_table(5).row("SmallBigNet [15], 3D R-50, 8")
    return Finding(
        "Table 4 against Table 5",
        "SmallBigNet, 8 frames, R-50",
        f"{k400.flops} and {sthv2.flops}",
        f"{_number(k400.flops) - _number(sthv2.flops)} G a view apart",
        "open: two networks under one label",
    )


def _two_streams() -> Finding:
    rows: list[tuple[PaperRow, PaperRow]] = []
    for table in map(load_paper_table, (4, 5)):
        rows += [
            (one, two)
            for one, two in zip(table.rows, table.rows[1:], strict=False)
            if two.stream == "RGB+Flow"
        ]
    columns: tuple[Callable[[PaperRow], str | None], ...] = (
        lambda row: row.flops,
        lambda row: row.params,
    )
    doubled = [_number(of(two)) == 2 * _number(of(one)) for one, two in rows for of in columns]
    return Finding(
        "Tables 4 and 5",
        "two-stream rows cost twice the row above",
        ", ".join(f"{two.setting} {two.flops} {two.params}" for _, two in rows),
        f"{sum(doubled)} of {len(doubled)} cells are twice the one above; optical flow itself is "
        "not counted",
        "holds: as sums",
    )


def _cells_in_two_tables() -> Finding:
    pairs = [
        (number, row, other)
        for number, second in ((4, 6), (5, 7))
        for row in load_paper_table(number).rows
        for other in load_paper_table(second).rows
        if row.network is not None and _identity(row) == _identity(other)
    ]
    unequal = [
        f"{row.setting}, {row.num_frames} frames: {row.top1} in Table {number}, {other.top1} in "
        f"Table {number + 2}"
        for number, row, other in pairs
        if row.percent != other.percent
    ]
    return Finding(
        "Tables 4 and 5 against Tables 6 and 7",
        "rows that stand in two tables agree",
        "; ".join(unequal),
        f"{len(pairs) - len(unequal)} of {len(pairs)} agree",
        "contradiction: as if two digits had changed places",
    )


def _identity(row: PaperRow) -> tuple[str, str | None, str | None, str]:
    kind = row.setting.split("+")[0].split(" ")[0]
    return kind, row.network, row.num_frames, row.source


def _non_local() -> Finding:
    cited = top1(4, "TSM+NL [17], 2D R-50, 8")
    own = Decimal(quoted("mit_tsm_nl").value)
    ours = top1(4, "STSM+TSN+NL, 2D R-50, 8")
    return Finding(
        "Tables 4 and 6",
        "TSM with non-local blocks",
        f"{cited}, from [17]",
        f"its authors' repository: {own}; STSM's gain is {ours - cited:+} or {ours - own:+}",
        "inexact: by rounding or by another run",
        ("mit_tsm_nl",),
    )
