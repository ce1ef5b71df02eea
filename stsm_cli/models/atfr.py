"""SlowFast that makes one time step of frames that are alike: it has as many as a view needs.

At the end of the first stage of both pathways, before its last ReLU, each frame is described by a
small vector. Frames whose vectors are equally far from the view's mean share a bin, which is a time
step of the later stages; a bin without frames is dropped. So the cost of a view depends on its
content. Steps come in the order of the distance, not of time.

Shapes: N views, T frames, B = T bins, B' of them kept, C channels.

Source: Fayyaz et al., 3D CNNs with Adaptive Temporal Feature Resolutions (CVPR 2021);
SimilarityGuidedSampling/Similarity-Guided-Sampling, sgs/models/TemporalSampler.py,
temporal_sampling_layer.py, sampling_kernels.py and resnet_helper.py.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.config.view import View
from stsm_cli.models.network_3d import Network3D
from stsm_cli.models.resnet_3d import Basic3D, Bottleneck3D
from stsm_cli.models.slowfast import SlowFastResNet

NUM_LATENT = 8
"""Size of the vector that describes a frame."""
_NEAR_ZERO = 1e-6  # of torch's pairwise_distance
_BORDER = 1e-7  # trap: the farthest frame lies on its bin's border; this alone keeps its time step


class SimilaritySampling(nn.Module):
    """A time step for each bin of similar frames: their sum, weighted by their place in the bin.

    Attributes:
        drop_bins: Whether bins without frames are dropped, which changes what later stages compute;
            else there are T steps, some of them zero. On the meta device none is dropped.

    Args:
        num_channels: C.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        width = max(num_channels // 2, NUM_LATENT)  # ours: at least that; of 2, all may be dead
        self.fc = nn.Sequential(
            nn.Linear(num_channels, width), nn.ReLU(inplace=True), nn.Linear(width, NUM_LATENT)
        )
        self.bn = nn.BatchNorm1d(NUM_LATENT)
        self.drop_bins = True
        for module in self.fc:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, B', H, W) of features (N, C, T, H, W).

        B' is the most that a view of the batch needs; behind those of another stand zeros.
        """
        weights = self.weights(x)
        if self.drop_bins and not x.is_meta:
            weights = without_empty(weights)
        frames = x.transpose(1, 2)  # (N, C, T, H, W) -> (N, T, C, H, W)
        steps = torch.bmm(weights.to(x.dtype), frames.flatten(2))  # (N, B', C·H·W)
        out: Tensor = steps.unflatten(2, frames.shape[2:]).transpose(1, 2)
        return out

    def weights(self, x: Tensor) -> Tensor:
        """(N, B, T), from 0 to 1: the part of each frame that enters each bin."""
        # trap: in bfloat16 a frame's place would be known to half a bin
        is_real = not x.is_meta  # meta has no autocast
        with torch.autocast(x.device.type, enabled=False) if is_real else nullcontext():
            x = x.to(self.bn.weight.dtype)
            means = F.adaptive_avg_pool3d(x, (int(x.shape[2]), 1, 1)).flatten(2)  # (N, C, T)
            vectors = self.bn(self.fc(means.transpose(1, 2)).transpose(1, 2))  # (N, 8, T)
            return bin_weights(vectors)


def bin_weights(vectors: Tensor) -> Tensor:
    """(N, B, T) of vectors (N, L, T): 1 in the middle of a bin, falling to 0 at its borders.

    Distances from a view's mean, scaled so that the largest is 2·B, fall into B bins of width 2.
    """
    num_bins = vectors.shape[2]
    offsets = vectors.mean(2, keepdim=True) - vectors + _NEAR_ZERO
    distances = torch.linalg.vector_norm(offsets, dim=1)  # (N, T)
    distances = distances * (2 * num_bins / distances.max(1, keepdim=True).values)
    # trap: rounded, 2·B is not reached; from the same rounded end bins have the same borders
    width = distances.detach().max(1, keepdim=True).values / num_bins  # (N, 1)
    middles = torch.arange(num_bins, device=vectors.device) * width + width / 2  # (N, B)
    return torch.relu(1 + _BORDER - (distances[:, None] - middles[:, :, None]).abs())


def without_empty(weights: Tensor) -> Tensor:
    """The bins that hold a frame, moved to the front: (N, B', T) of weights (N, B, T).

    B' is the largest number of any view; behind its own a view has empty ones.
    """
    is_empty = weights.sum(2) == 0  # (N, B)
    kept = max(1, int((~is_empty).sum(1).max()))  # ours: one, where rounding leaves none
    order = is_empty.byte().argsort(dim=1, stable=True)[:, :kept]
    return weights.gather(1, order[:, :, None].expand(-1, -1, weights.shape[2]))


class ATFR(Network3D):
    """SlowFast with `SimilaritySampling` in the last block of both pathways' first stage.

    SlowFast's keys stay; `backbone.slow.layer1.2.sampler.*` and `backbone.fast.layer1.2.sampler.*`
    are new (of a ResNet-50, which has three blocks there).

    A view's logits in a test are its own: views are computed one by one where bins are dropped, as
    in the authors' tests of one view at a time. In training, as theirs, a batch has the time steps
    of the view that needs most, and the zeros behind those of the others enter its norms.

    Args:
        view: As SlowFast's.
        num_classes: K.
        backbone: SlowFast's two pathways; the samplers are put into it.
        dropout: Probability with which a feature is dropped before `fc`.
    """

    def __init__(
        self, view: View, num_classes: int, backbone: SlowFastResNet, *, dropout: float
    ) -> None:
        num_features = backbone.num_features
        super().__init__(view, num_classes, backbone, num_features=num_features, dropout=dropout)
        for pathway in (backbone.slow, backbone.fast):
            last = pathway.layer1[-1]
            assert isinstance(last, Basic3D | Bottleneck3D)
            last.sampler = SimilaritySampling(last.last_norm.num_features)

    @property
    def samplers(self) -> tuple[SimilaritySampling, ...]:
        """Those of the slow and of the fast pathway."""
        return tuple(part for part in self.modules() if isinstance(part, SimilaritySampling))

    @property
    def drop_bins(self) -> bool:
        """Whether time steps of bins without frames are dropped, in both pathways; can be set."""
        return all(sampler.drop_bins for sampler in self.samplers)

    @drop_bins.setter
    def drop_bins(self, value: bool) -> None:
        for sampler in self.samplers:
            sampler.drop_bins = value

    def logits(self, videos: Tensor) -> Tensor:
        """(N, K) of videos (N, T, 3, H, W); in a test each video's own, whatever its neighbours."""
        if self.training or not self.drop_bins or videos.is_meta:
            return self._together(videos)
        return torch.cat([self._together(video) for video in videos.split(1)])

    def _together(self, videos: Tensor) -> Tensor:
        logits = super().logits(videos)
        assert isinstance(logits, Tensor)  # no head of training
        return logits
