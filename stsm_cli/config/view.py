"""One view of a video, as a network takes it: its frames and its pixels.

A sampler of the recipe (`data.sampling`) chooses positions in a video; the view says how many, and
what is read at each. A network names its view, and reader and normalisation follow it.
"""

from dataclasses import dataclass

# RGB statistics of ImageNet on the 0..255 scale, as in MMAction2's and torchvision's recipes
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
# those of facebookresearch/SlowFast, slowfast/config/defaults.py: 0.45 and 0.225 of 255
SLOWFAST_MEAN = (114.75,) * 3
SLOWFAST_STD = (57.375,) * 3
# those of facebookresearch/VMZ, pt/vmz/func/train.py, times 255
R2PLUS1D_MEAN = (110.2008, 100.63983, 95.99475)
R2PLUS1D_STD = (58.14765, 56.46975, 55.332195)
# -1 to 1, as google-deepmind/kinetics-i3d has its frames
I3D_MEAN = (127.5,) * 3
I3D_STD = (127.5,) * 3
# of the port of BN-Inception from Caffe, whose pixels are of 0 to 255
BNINCEPTION_MEAN = (128.0, 117.0, 104.0)
BNINCEPTION_STD = (1.0,) * 3
# of optical flow, whose level 128 is rest and 1 and 255 are 20 pixels: -1 to 1, as in I3D
FLOW_MEAN = (128.0,)
FLOW_STD = (127.0,)


@dataclass(frozen=True)
class View:
    """The frames of one view, (T, C, H, W), or stacks of optical flow in their place.

    Attributes:
        num_positions: Segments of the video in uniform sampling; in dense sampling, equally spaced
            positions in a window of it.
        consecutive: Frames that are read at each position, one after the other.
        window: Length of the window of dense sampling, in frames of the video.
        mean: Of each channel, on the scale of 0 to 255; as many as there are channels C.
        std: Likewise.
        flow_fields: Fields of optical flow, one after the other, that are read at each frame
            instead of it, as channels x1, y1, x2, y2, ...; 0: the frame itself, RGB.
    """

    num_positions: int
    consecutive: int = 1
    window: int = 64  # paper 4.2: DenseSampleFrames' sample_range
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    flow_fields: int = 0

    @property
    def num_frames(self) -> int:
        """T: all frames of a view."""
        return self.num_positions * self.consecutive

    @property
    def span(self) -> int:
        """Frames of the video from the first to the last of those, or of fields, at a position."""
        return self.consecutive - 1 + max(1, self.flow_fields)

    def shape(self, size_px: int) -> tuple[int, int, int, int]:
        """(T, C, H, W) of a view of `size_px`² pixels."""
        return self.num_frames, len(self.mean), size_px, size_px
