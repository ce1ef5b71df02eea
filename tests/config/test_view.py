from stsm_cli.config.view import IMAGENET_MEAN, View


def test_a_view_counts_all_its_frames():
    view = View(8, consecutive=5)
    assert (view.num_frames, view.span) == (40, 5)
    assert view.shape(224) == (40, 3, 224, 224)


def test_by_default_single_frames_of_rgb():
    view = View(8)
    assert (view.num_frames, view.span, view.window) == (8, 1, 64)
    assert view.mean == IMAGENET_MEAN


def test_flow_has_as_many_channels_as_statistics():
    assert View(8, mean=(128.0,) * 2, std=(16.0,) * 2).shape(112) == (8, 2, 112, 112)


def test_a_position_spans_the_fields_that_are_read_there():
    assert View(8, flow_fields=1).span == 1
    assert View(8, flow_fields=5).span == 5
