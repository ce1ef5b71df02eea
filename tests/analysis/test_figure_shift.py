import pytest

from stsm_cli.analysis.figure_shift import shift_figure, source_positions
from stsm_cli.analysis.figures import encode

STAYS, NEXT, PREVIOUS = [0, 1, 2, 3, 4], [1, 2, 3, 4, -1], [-1, 0, 1, 2, 3]


def test_each_axis_moves_its_own_channels():
    time, height, width = source_positions(16, "T+H+W", "3/8").tolist()
    assert time == [NEXT, PREVIOUS, *[STAYS] * 14]
    assert height == [STAYS, STAYS, NEXT, PREVIOUS, *[STAYS] * 12]
    assert width == [*[STAYS] * 4, NEXT, PREVIOUS, *[STAYS] * 10]


def test_axes_of_a_group_move_together():
    time, height, width = source_positions(8, "TW", "1/2").tolist()
    assert time == width == [NEXT, NEXT, PREVIOUS, PREVIOUS, *[STAYS] * 4]
    assert height == [STAYS] * 8


def test_the_picture_shows_the_sources():
    panels = shift_figure().axes
    assert [axes.get_ylabel().split("\n")[0] for axes in panels] == ["time", "height", "width"]
    for axes, channels in zip(panels, source_positions(16, "T+H+W", "3/8").tolist(), strict=True):
        shown = {text.get_position(): text.get_text() for text in axes.texts[: 16 * 5]}
        assert shown == {
            (x, y): str(source + 1)
            for x, column in enumerate(channels)
            for y, source in enumerate(column)
        }


def test_moved_cells_differ_without_colour():
    cells = shift_figure().axes[0].patches
    hatches = {(cell.get_x() + 0.5, cell.get_y() + 0.5): cell.get_hatch() for cell in cells}
    assert hatches[0, 2] != hatches[1, 2]
    assert not hatches[2, 2]
    assert not hatches[0, 4]  # a zero came in


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_bytes_each_time(kind):
    first, second = (encode(shift_figure(6), kind) for _ in range(2))
    assert first == second


def test_settings_that_are_not_valid():
    with pytest.raises(ValueError, match="X"):
        shift_figure(dims="X")
    with pytest.raises(ValueError, match="2"):
        shift_figure(alpha="2")
