import pytest

from stsm_cli.config.networks_3d import SlowFastConfig, fusion_of, smallest_map, view_of


def test_slowfast_reads_the_frames_of_its_fast_pathway():
    view = view_of("slowfast_resnet50", 4, SlowFastConfig())
    assert (view.num_frames, view.window) == (32, 64)  # of 64 frames every second one
    assert (view.mean, view.std) == ((114.75,) * 3, (57.375,) * 3)
    assert view_of("slowfast_resnet_small", 16, SlowFastConfig(ratio=4)).num_frames == 64


def test_r2plus1d_s_dense_views_are_frames_one_by_one():
    view = view_of("r2plus1d_34", 32, SlowFastConfig())
    assert (view.num_frames, view.window) == (32, 32)
    assert view.mean == pytest.approx([255 * part for part in (0.43216, 0.394666, 0.37645)])
    assert view.std == pytest.approx([255 * part for part in (0.22803, 0.22145, 0.216989)])


@pytest.mark.parametrize(
    ("backbone", "num_frames", "expected"),
    [
        ("resnet50", 8, (8, 32)),
        ("mobilenet_v2_small", 8, (8, 16)),
        ("bninception_small", 8, (8, 8)),
        ("bottleneck_dilated_small", 8, (8, 14)),
        ("inverted_small", 8, (8, 7)),
        ("slowfast_resnet50", 4, (4, 32)),
        ("r2plus1d_34", 32, (4, 16)),
        ("r2plus1d_small", 9, (2, 16)),
        ("r2plus1d_34", 8, (1, 16)),
        ("smallbig_resnet50", 16, (1, 32)),
        ("smallbig_resnet_small", 4, (1, 16)),
        ("i3d", 64, (8, 32)),
        ("i3d", 17, (3, 32)),
        ("i3d", 8, (1, 32)),
        ("i3d_small", 8, (2, 8)),
        ("i3d_small", 4, (1, 8)),
    ],
)
def test_smallest_maps(backbone, num_frames, expected):
    assert smallest_map(backbone, num_frames) == expected


def test_i3d_alone_adds_up_the_logits_of_its_streams():
    assert [fusion_of(name) for name in ("i3d", "i3d_small")] == ["logits", "logits"]
    assert {fusion_of(name) for name in ("r2plus1d_34", "bninception", "resnet50")} == {"prob"}


def test_r2plus1d_takes_flow_from_minus_one_to_one():
    view = view_of("r2plus1d_small", 8, SlowFastConfig(), "flow")
    assert (view.num_frames, view.window, view.flow_fields) == (8, 8, 1)
    assert (view.mean, view.std) == ((128, 128), (127, 127))


def test_bn_inception_reads_pixels_less_their_mean():
    view = view_of("bninception_small", 8, SlowFastConfig())
    assert (view.num_frames, view.mean, view.std) == (8, (128, 117, 104), (1, 1, 1))
    flow = view_of("bninception", 8, SlowFastConfig(), "flow")
    assert (flow.num_frames, flow.flow_fields) == (8, 5)
    assert (flow.mean, flow.std) == ((128,) * 10, (1,) * 10)
