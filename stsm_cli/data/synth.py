"""The embedded data set as one that is generated; what its videos show is in `synth_scenes.py`."""

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.rendered_set import RenderedSet
from stsm_cli.data.synth_scenes import CLASSES, frame_size, make_frames

_BYTES = 9  # a frame and pixel of its short side, at the default difficulty


def _frame_shape(settings: SynthConfig) -> tuple[int, int, int]:
    return settings.frames, *frame_size(settings)


def _video_bytes(settings: SynthConfig) -> float | None:
    if settings.difficulty != SynthConfig().difficulty:
        return None
    return settings.frames * settings.short_side_px * _BYTES


SYNTH = RenderedSet(
    name="synth",
    label="embedded set",
    version=1,
    settings=SynthConfig,
    classes=CLASSES,
    frame_shape=_frame_shape,
    make_frames=make_frames,
    video_bytes=_video_bytes,
)
