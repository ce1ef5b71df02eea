import numpy as np
import pytest

from stsm_cli.analysis.figure_confusion import MAX_CLASSES, check_drawable, confusion_figure
from stsm_cli.analysis.figures import encode
from stsm_cli.errors import UsageError


def test_counts_stand_where_they_belong():
    matrix = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    (axes,) = confusion_figure(matrix, "abc", title="tiny", subtitle="8 videos").axes
    counts = {text.get_position(): text.get_text() for text in axes.texts if text.get_text()}
    assert {place: n for place, n in counts.items() if n.isdigit()} == {
        (0, 0): "3",
        (1, 0): "1",
        (1, 1): "4",
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == list("abc")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    shades = axes.images[0].get_array()
    assert np.asarray(shades).tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert axes.get_title("left") == "tiny\n"
    assert "8 videos" in counts.values()


@pytest.mark.parametrize("length", [3, 30])
@pytest.mark.parametrize("num_classes", [2, 3, 16])
def test_all_that_is_written_is_in_the_picture(num_classes, length):
    """Nor does matplotlib warn that it has no room, which would fail this test, too."""
    names = [f"{label:02}{'abcdefg ' * 4}"[:length] for label in range(num_classes)]
    title = "folder/stsm_r50_8f with model.backbone=resnet_small, optim.epochs=3, seed=17"
    subtitle = "folder-1x3@256+precision=fp32, 12345 videos, top-1 98.2 %"
    matrix = np.eye(num_classes, dtype=int)
    figure = confusion_figure(matrix, names, title=title, subtitle=subtitle)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    written = [*axes.texts, *ticks, axes.xaxis.label, axes.yaxis.label, axes._left_title]
    assert {" ".join(text.get_text().split()) for text in written} >= {title, subtitle, *names}
    for text in written:
        box = text.get_window_extent()
        assert min(box.x0, box.y0) >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    assert axes.get_window_extent().width >= 36 * num_classes  # pixels: counts do not touch


def test_the_same_matrix_gives_the_same_png():
    def draw():
        figure = confusion_figure(np.eye(2, dtype=int), ["a", "b"], title="t", subtitle="s")
        return encode(figure, "png")

    assert draw() == draw()
    assert draw()[:4] == b"\x89PNG"


def test_many_classes_are_refused():
    check_drawable(MAX_CLASSES)
    with pytest.raises(UsageError, match="--confusion: at most 50 classes can be drawn, there are"):
        check_drawable(51)
    names = [str(label) for label in range(51)]
    with pytest.raises(UsageError, match="there are 51"):
        confusion_figure(np.eye(51, dtype=int), names, title="t", subtitle="s")
