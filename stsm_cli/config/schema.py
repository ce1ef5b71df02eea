"""The recipe: everything that changes an experiment's numbers, typed and frozen.

What changes only where or how fast a run goes (`--device`, `--workers`, `--out`) is an option of
the command line and has no place here. Loading, `extends:` and `--set` live in `load.py`.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from typing_extensions import assert_never

from stsm_cli.config.generated_sets import (
    GeneratedConfig,
    GeneratedName,
    OrderConfig,
    ScenesConfig,
    SynthConfig,
)
from stsm_cli.config.kinds import (
    MAX_FRAMES,
    Alpha,
    Dims,
    Epochs,
    FilePath,
    FlowMethod,
    NumClasses,
    NumClips,
    NumCrops,
    NumFrames,
    NumVideos,
    PartName,
    Pixels,
    Rate,
    Section,
    Seed,
    Stream,
    refuse,
)
from stsm_cli.config.networks_3d import (
    TAKES_FLOW,
    WITHOUT_SHIFT,
    Backbone3D,
    BNInceptionBackbone,
    SlowBackbone,
    SlowFastBackbone,
    SlowFastConfig,
    SmallBigBackbone,
    SmallBigConfig,
    smallest_map,
    view_of,
)
from stsm_cli.config.regularisation import LossConfig, RandAugmentConfig
from stsm_cli.config.view import IMAGENET_MEAN, IMAGENET_STD, View

WRITTEN = "written"
"""Context of a validation that also refuses what would have no effect; without it recipes of
finished runs are read, whatever they say."""

TorchvisionBackbone = Literal[
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "mobilenet_v2",
]
BottleneckBackbone = Literal["bottleneck_small", "bottleneck_dilated_small"]
SmallBackbone = Literal[
    "resnet_small", "mobilenet_v2_small", "res2net_small", BottleneckBackbone, "inverted_small"
]
FrameBackbone = Literal[TorchvisionBackbone, SmallBackbone, "res2net50", BNInceptionBackbone]
Backbone = Literal[FrameBackbone, Backbone3D]
FOR_SMALL_FRAMES: tuple[Backbone, ...] = tuple(
    name for name in get_args(Backbone) if name.endswith("_small")
)
"""Those made for the embedded set's frames."""
WITH_WEIGHTS: tuple[Backbone, ...] = (*get_args(TorchvisionBackbone), "smallbig_resnet50", "i3d")
"""Those that can start from ImageNet's weights."""
WITH_NON_LOCAL: tuple[Backbone, ...] = ("resnet50", "resnet_small", "bottleneck_small")
"""Those that may have non-local blocks."""
System = Literal["action", "tea", "tdn", "atfr", "tpn", "selfy", "trn"]
BODIES: dict[System, tuple[Backbone, ...]] = {
    "action": (
        *("resnet50", "mobilenet_v2", "resnet_small", "mobilenet_v2_small"),
        *("bottleneck_small", "inverted_small"),
    ),
    "tea": ("res2net50", "res2net_small"),
    "tdn": ("resnet50", "resnet_small", "bottleneck_small"),
    "atfr": ("slowfast_resnet50", "slowfast_resnet_small"),
    "tpn": (
        *("resnet50", "resnet_small", "slow_resnet50", "slow_resnet_small"),
        "bottleneck_small",
    ),
    "selfy": ("resnet50", "resnet_small", "bottleneck_small"),
    "trn": (*get_args(BNInceptionBackbone), "resnet50", "resnet_small"),
}
"""By system: the backbones that it is put into."""
SHIFTED: tuple[System, ...] = ("tpn", "selfy")
"""Systems whose authors put TSM's shift into the backbone, too."""
NORMALISED_ANEW: tuple[Backbone, ...] = (*get_args(SlowBackbone), *get_args(SlowFastBackbone))
"""Those that another project gives pixels of other statistics."""
Flip = Literal["none", "plain", "label_aware"]
DatasetName = Literal[GeneratedName, "k400", "sthv2", "ucf101", "hmdb51", "folder"]
Sampling = Literal[
    "uniform",
    "dense",
    "motion",
    "slowfast_uniform",
    "slowfast_dense",
    "tpn_uniform",
    "tpn_dense",
]


def sampling_limits(sampling: Sampling) -> tuple[tuple[int, ...], int]:
    """The numbers of clips that a test may ask for, and the most frames a view."""
    match sampling:
        case "uniform" | "tpn_uniform":
            return (1, 2, 10), MAX_FRAMES
        case "motion":
            return (1, 2), MAX_FRAMES
        case "slowfast_uniform":
            return (1,), MAX_FRAMES
        case "dense" | "slowfast_dense" | "tpn_dense":
            return (1, 10), 64
    assert_never(sampling)


class ShiftConfig(Section):
    """The spatio-temporal shift of the paper's section 3."""

    dims: Dims = "T+H+W"  # paper 5.1
    """Sum of groups of axes that move together: `T`, `T+H+W`, `HW`, `TH+TW+HW`, ...; `T-` looks at
    the past alone. A lower-case axis moves the other way: `HW+Hw` takes all four diagonals."""
    alpha: Alpha = Fraction(3, 8)  # paper 5.1
    """Fraction of all channels that move."""
    shortcut: bool = False
    """A shortcut that is projected is shifted too, as in TPN's copy of TSM."""


class ModelConfig(Section):
    """A network with or without a shift: TSN over a 2D backbone, or a 3D network.

    Or one of the systems that the paper compares with.
    """

    backbone: Backbone
    """2D: a torchvision ResNet, `mobilenet_v2`, `res2net50`, `bninception`, or what stands for
    them on the embedded set: `resnet_small`, `mobilenet_v2_small`, `res2net_small`,
    `bninception_small`, `bottleneck_small`, `inverted_small` (a MobileNetV2), and
    `bottleneck_dilated_small`, a control that sees farther. 3D: `slow_resnet50` (SlowOnly),
    `slowfast_resnet50`, `r2plus1d_34`, `smallbig_resnet50`, `i3d`, and theirs:
    `slow_resnet_small`, `slowfast_resnet_small`, `r2plus1d_small`, `smallbig_resnet_small`,
    `i3d_small`."""
    num_classes: NumClasses | None
    """None: as many as the data set has, filled in when it is opened; for folders of one's own."""
    num_frames: NumFrames = 8
    """Frames a view, the paper's #F; in SlowFast those of the slow pathway."""
    shift: ShiftConfig | None = None
    """None: TSN. `{dims: T, alpha: 1/4}`: TSM. `{dims: T+H+W, alpha: 3/8}`: STSM."""
    non_local: bool = False
    """Five non-local blocks in layers 2 and 3 of a ResNet-50 (`+NL` in the paper), or two in those
    of `resnet_small` or `bottleneck_small`."""
    system: System | None = None
    """Mechanism of another paper in the backbone. `action`: ACTION-Net's gates. `tea`: TEA's
    excitations and convolutions along time. `tdn`: TDN's differences, five frames a position.
    `atfr`: time steps of SlowFast sampled by similarity. `tpn`: TPN's pyramid of the last two
    stages. `selfy`: SELFYNet's self-similarities. `trn`: TRN's relations between frames in place
    of their mean. A shift may stand beside `tpn` and `selfy`."""
    slowfast: SlowFastConfig = SlowFastConfig()
    smallbig: SmallBigConfig = SmallBigConfig()
    stream: Stream = "rgb"
    """`flow`: the network takes optical flow, by `data.flow`; for R(2+1)D, I3D and
    BN-Inception."""
    statistics: Literal["own", "imagenet"] = "own"
    """Mean and deviation by which pixels are normalised: those of the backbone's authors, or
    ImageNet's, which MMAction2 takes for SlowOnly and SlowFast, too; and as each of them does,
    pictures larger than 224² are pooled by windows of that size, or whole."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5  # paper 4.2
    """Share of the features before the classifier that training drops."""
    weights: Literal["imagenet"] | None = None
    """`imagenet`: torchvision's weights for this backbone, for I3D those of its GoogLeNet,
    downloaded at the first use."""
    init: FilePath | None = None
    """A file of `stsm convert` or a run's checkpoint to start from; the classifier is new where the
    classes differ in number."""

    @model_validator(mode="after")
    def _backbone_allows(self) -> "ModelConfig":
        refuse(self._misfits())
        return self

    def _misfits(self) -> Iterator[str]:
        if self.non_local and self.backbone not in WITH_NON_LOCAL:
            bodies = " or ".join(WITH_NON_LOCAL)
            yield f"non_local belongs to backbone {bodies}, not {self.backbone}"
        if self.shift is not None and self.backbone in WITHOUT_SHIFT:
            yield f"shift: {self.backbone} has no residual branches to shift in"
        if self.system is not None:
            yield from self._system_misfits(self.system)
        yield from self._section_misfits()
        if self.stream == "flow" and self.backbone not in TAKES_FLOW:
            bodies = " or ".join(TAKES_FLOW)
            yield f"stream flow belongs to backbone {bodies}, not {self.backbone}"
        if self.statistics != "own":
            yield from self._statistics_misfits()
        if self.weights is not None and self.backbone not in WITH_WEIGHTS:
            yield (
                f"weights: there are none of ImageNet for backbone {self.backbone}\n"
                "set model.weights to null to start from random ones, or name others by model.init"
            )
        if self.weights is not None and self.init is not None:
            yield ("weights and init exclude each other: a network starts from one of them")

    def _section_misfits(self) -> Iterator[str]:
        for name, section, bodies in (
            ("slowfast", self.slowfast, get_args(SlowFastBackbone)),
            ("smallbig", self.smallbig, get_args(SmallBigBackbone)),
        ):
            if section != type(section)() and self.backbone not in bodies:
                yield f"{name} belongs to backbone {' or '.join(bodies)}, not {self.backbone}"
        if self.smallbig.extra and self.shift is not None:  # it would see one frame of maxima
            yield "smallbig.extra and shift exclude each other"

    def _statistics_misfits(self) -> Iterator[str]:
        if self.backbone not in NORMALISED_ANEW:
            bodies = " or ".join(NORMALISED_ANEW)
            yield (
                f"statistics {self.statistics} belongs to backbone {bodies}, not {self.backbone}"
            )
        if self.system == "tpn":
            yield f"statistics {self.statistics} has no effect: system tpn has them"

    def _system_misfits(self, system: System) -> Iterator[str]:
        if self.backbone not in BODIES[system]:
            bodies = " or ".join(BODIES[system])
            yield f"system {system} belongs to backbone {bodies}, not {self.backbone}"
        has_shift = self.shift is not None and system not in SHIFTED
        if has_shift or self.non_local:
            other = "shift" if has_shift else "non_local"
            yield f"system {system} and {other} exclude each other"
        # of two frames both are equally far from their mean: ATFR's border, where each counts 0
        least = 3 if system == "atfr" else 2
        if self.num_frames < least:
            yield (
                f"num_frames ({self.num_frames}) must be at least {least} with system {system}: "
                "it compares frames"
            )

    @property
    def takes_shift(self) -> bool:
        """True where a shift may stand, as far as the backbone tells."""
        return self.backbone not in WITHOUT_SHIFT and not self.smallbig.extra

    @property
    def view(self) -> View:
        """The view that the network takes of a video."""
        if self.system == "tdn":
            return View(self.num_frames, consecutive=5)
        view = view_of(self.backbone, self.num_frames, self.slowfast, self.stream)
        if self.system == "tpn" or self.statistics == "imagenet":  # TPN: over 3D bodies, too
            return replace(view, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        return view

    def without_start(self, **changes: object) -> "ModelConfig":
        """The same network without weights to start from, with `changes`."""
        return self.model_copy(update={"weights": None, "init": None, **changes})


class DataConfig(Section):
    """Which videos, which of their frames, and which part of the picture training sees."""

    dataset: DatasetName
    """`folder`: videos of one's own. `synth`, `scenes`, `order`: made here, by their sections."""
    sampling: Sampling
    """`uniform`: one frame in each of `num_frames` segments. `dense`: a window of 64 frames.
    `motion`: one frame in each of `num_frames` equal parts of the video's motion (MGSampler).
    `slowfast_...`, `tpn_...`: the same as the authors of SlowFast and TPN do it; the first two are
    MMAction2's."""
    short_side_px: Pixels = 256  # paper 4.2
    """Size to which pictures are resized before they are cropped, in training and in tests."""
    crop_px: Pixels = 224  # paper 4.2
    """Side of the training crop, the same for a whole video."""
    train_crop: Literal["ten_crop", "multi_scale", "random"] = "ten_crop"  # paper 4.2
    """`ten_crop`: one of the ten test crops. `multi_scale`: MMAction2's MultiScaleCrop. `random`:
    anywhere in the picture."""
    jitter_px: tuple[Pixels, Pixels] | None = None
    """Least and most of the picture's short side in training, drawn for each video; for `random`
    crops. None: short_side_px."""
    flip: Flip = "plain"
    """Mirror images among the ten crops; `label_aware` swaps classes such as left and right. A
    folder's run takes that by itself where the classes pair up and no recipe says otherwise."""
    rand_augment: RandAugmentConfig | None = None
    """RandAugment after crop and mirror; `{}` for two operations of strength 9. None: without."""
    flow: FlowMethod = "dis"
    """Method of the optical flow that `model.stream: flow` reads, from `stsm prepare flow`."""
    synth: SynthConfig | None = None
    scenes: ScenesConfig | None = None
    order: OrderConfig | None = None

    @model_validator(mode="after")
    def _sizes_fit(self) -> "DataConfig":
        refuse(self._misfits())
        return self

    def _misfits(self) -> Iterator[str]:
        if self.crop_px > self.short_side_px:
            yield f"crop_px ({self.crop_px}) must be at most short_side_px ({self.short_side_px})"
        if self.jitter_px is not None:
            yield from self._jitter_misfits(*self.jitter_px)
        given = {name for name, value in self if isinstance(value, GeneratedConfig)}
        for name in sorted(given - {self.dataset}):
            yield f"a `{name}` section belongs to `dataset: {name}`, and to it alone"
        if self.dataset in get_args(GeneratedName) and self.dataset not in given:
            yield f"`dataset: {self.dataset}` needs a section `{self.dataset}`, `{{}}` for defaults"

    def _jitter_misfits(self, least: int, most: int) -> Iterator[str]:
        if self.train_crop != "random":
            yield f"jitter_px belongs to `train_crop: random`, not {self.train_crop}"
        if not self.crop_px <= least <= most:
            yield f"jitter_px ({least}, {most}) must rise from at least crop_px ({self.crop_px})"

    @property
    def generated(self) -> GeneratedConfig | None:
        """Settings of a generated set, the section of its name; None: the set is not made here."""
        sections = (value for _, value in self if isinstance(value, GeneratedConfig))
        return next(sections, None)

    @property
    def draw(self) -> int:
        """Number of a generated set's draw; 0 of sets that have one."""
        return int(getattr(self.generated, "draw", 0))

    def place(self, first: Path | None = None) -> Path:
        """The set's folder: `data/<data set>`, and of its other draws `data/<data set>-draw<n>`.

        Args:
            first: The folder of its draw 0, where that is another; other draws lie beside it.
        """
        folder = first or Path("data") / self.dataset
        if folder.name in ("", ".."):  # nothing lies beside what is called so
            folder = folder.resolve()
        return folder.with_name(f"{folder.name}-draw{self.draw}") if self.draw else folder


AVERAGES = {"prob": "", "score": "-score"}
"""Ending of a protocol's name, by the average over views."""


SPLIT_ENDINGS = {"val": "", "test": "-test"}
"""Likewise, by the split."""


class TestConfig(Section):
    """The multi-view protocol: clips in time × crops in space, averaged after softmax."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    clips: NumClips = 1
    """Uniform sampling: 1, 2 (twice-sample), or 10. Motion sampling: 1 or 2. Dense sampling: 1 or
    10 starts."""
    crops: NumCrops = 1
    """1: centre. 3: along the long side. 10: corners, centre and their mirror images."""
    crop_px: Pixels = 256  # paper 4.2
    """Side of a test's crops."""
    split: Literal["val", "test"] = "val"
    """Split that the result is of; `test` of the sets that have one. Epochs are tested on `val`."""
    average: Literal["prob", "score"] = "prob"
    """Views are averaged after the softmax (`prob`, MMAction2's TSM) or before it (`score`: MIT's
    TSM; and MMAction2's TSN, which averages features first: logits are linear in them)."""


def _one_name_a_schedule(name: Any) -> Any:  # noqa: ANN401
    return "one_cycle" if name == "cosine" else name  # else equal runs had two hashes


class OptimConfig(Section):
    """Optimiser, schedule and budget."""

    optimizer: Literal["sgd", "adamw"] = "sgd"  # paper 4.2
    """SGD with momentum, or AdamW."""
    lr: Rate
    """Peak learning rate at `lr_batch_size`; scaled linearly when the batch differs."""
    policy: Literal["plain", "tsm", "tsn"] = "plain"
    """Multipliers of lr and weight decay, parameter by parameter: those of MMAction2's TSM (`tsm`),
    or of TSN's authors (`tsn`: biases twice as fast; of flow, the first convolution five times)."""
    lr_batch_size: NumVideos = 48  # paper 4.2
    """Batch that `lr` is meant for."""
    batch_size: NumVideos = 48  # paper 4.2
    """Videos an optimiser step: all processes and all accumulated parts together."""
    accumulate: NumVideos = 1
    """Parts into which each process splits its share of a batch, one after the other."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # paper 4.2
    """SGD's momentum; AdamW's first beta."""
    nesterov: bool = False
    """Nesterov's momentum in SGD."""
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 1e-4  # paper 4.2
    """L2 penalty in SGD, decoupled decay in AdamW."""
    decay_norms: bool = True
    """Weight decay of batch norms, too; in SGD with `policy: plain`. The others spare them."""
    frozen_norms: Literal["none", "but_first", "all"] = "none"
    """Batch norms that keep the weights and statistics that they start with; `but_first` is the
    partial BN of TSN."""
    frozen: tuple[PartName, ...] = ()
    """Parts of the network that keep the weights and batch-norm statistics that they start with:
    `[stem, layer1]` of a ResNet, `[features.0, features.1]` of a MobileNetV2, `[backbone]` for a
    new classifier alone."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Weight of the past in a moving average of weights and batch-norm statistics over the steps:
    0.999 remembers about 1,000. The average is validated, tested, and the run's weights."""
    epochs: Epochs
    """Passes over the training videos."""
    patience_epochs: Epochs | None = None
    """Epochs without a better top-1 on `val` after which the run ends, early: the learning rate
    still follows a schedule of `epochs`. Its result is of the last epoch, as always. `val` is
    looked at in one view, under dense sampling that at the start of each video."""
    schedule: Annotated[Literal["step", "one_cycle"], BeforeValidator(_one_name_a_schedule)] = (
        "step"
    )
    """`step`: divided by 10 at the milestones. `one_cycle`: after the warm-up down to zero along
    half a cosine; `cosine` is read as this."""
    milestones_epochs: tuple[Epochs, ...] = ()
    """Step schedule: the learning rate is divided by 10 at each of these epochs. Inherited ones
    follow a change of `epochs` in proportion."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Linear warm-up; in `one_cycle` the rising part of the cycle. An inherited one shrinks with
    `epochs`."""
    warmup_from: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Start of the warm-up, as a fraction of the peak learning rate."""
    warmup_by: Literal["step", "epoch"] = "step"
    """Rise of the warm-up: at each step, or once an epoch as in MMAction2 1.x."""
    clip_grad_norm: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Largest L2 norm of the gradient."""

    @model_validator(mode="after")
    def _schedule_fits(self) -> "OptimConfig":
        refuse(self._misfits())
        return self

    def _misfits(self) -> Iterator[str]:
        if list(self.milestones_epochs) != sorted(set(self.milestones_epochs)):
            yield f"milestones_epochs {self.milestones_epochs} must rise"
        if self.milestones_epochs and self.schedule != "step":
            yield "milestones_epochs belong to `schedule: step`"
        if self.policy != "plain" and self.optimizer != "sgd":
            yield f"policy: {self.policy} belongs to `optimizer: sgd`"
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum):
            yield "nesterov belongs to `optimizer: sgd` with momentum above 0"
        if self.batch_size % self.accumulate:
            yield f"accumulate ({self.accumulate}) must divide batch_size ({self.batch_size})"
        if self.warmup_epochs >= self.epochs:
            yield (
                f"warmup_epochs ({self.warmup_epochs}) must be less than epochs ({self.epochs})\n"
                "set optim.warmup_epochs below optim.epochs; 0 is without a warm-up"
            )

    @model_validator(mode="after")
    def _has_effect(self, info: ValidationInfo) -> "OptimConfig":
        """Refuse keys that would have no effect; a run's own recipe is read as it was."""
        if info.context == WRITTEN:
            refuse(self._without_effect())
        return self

    def _without_effect(self) -> Iterator[str]:
        late = [epoch for epoch in self.milestones_epochs if epoch >= self.epochs]
        if late:
            yield (
                f"milestones_epochs {self.milestones_epochs}: the run ends before {late[0]}, "
                f"epochs is {self.epochs}\n"
                "inherited milestones follow optim.epochs by themselves; written ones must be less"
            )
        if self.milestones_epochs and self.milestones_epochs[0] < self.warmup_epochs:
            yield (
                f"milestones_epochs {self.milestones_epochs}: the first comes before the end of "
                f"the warm-up, warmup_epochs is {self.warmup_epochs}"
            )
        if self.patience_epochs is not None and self.patience_epochs >= self.epochs:
            yield (
                f"patience_epochs ({self.patience_epochs}) has no effect: epochs is {self.epochs}"
            )
        if not self.decay_norms and (self.optimizer, self.policy) != ("sgd", "plain"):
            spares = self.optimizer if self.optimizer != "sgd" else f"policy {self.policy}"
            yield f"decay_norms (false) has no effect: {spares} spares norms by itself"
        if not self.decay_norms and self.frozen_norms == "all":
            yield "decay_norms (false) has no effect: frozen_norms is all"
        if not self.warmup_epochs and (self.warmup_from or self.warmup_by != "step"):
            key = "warmup_from" if self.warmup_from else "warmup_by"
            yield (
                f"{key} ({getattr(self, key)}) has no effect: warmup_epochs is 0\n"
                f"set optim.warmup_epochs, or leave out optim.{key}"
            )
        elif self.warmup_by == "epoch" and not self.warmup_from:
            yield (
                "warmup_by (epoch) with warmup_from at 0: the first epoch would train at a "
                "learning rate of 0\nset optim.warmup_from, to 0.1 for example"
            )


class Recipe(Section):
    """One experiment."""

    model: ModelConfig
    data: DataConfig
    test: TestConfig = TestConfig()
    optim: OptimConfig
    loss: LossConfig = LossConfig()
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """`bf16`, `fp16`: autocast, the latter with loss scaling; weights stay in float32."""
    seed: Seed = 0
    """Seed of first weights, samples, crops and the order of videos."""

    @model_validator(mode="after")
    def _sections_agree(self, info: ValidationInfo) -> "Recipe":
        refuse(self._misfits(is_written=info.context == WRITTEN))
        return self

    def _misfits(self, *, is_written: bool) -> Iterator[str]:
        if self.test.crop_px > self.data.short_side_px:
            yield (
                f"test.crop_px ({self.test.crop_px}) must be at most "
                f"data.short_side_px ({self.data.short_side_px})"
            )
        if self.data.flow != "dis" and self.model.stream != "flow":
            yield (
                f"data.flow ({self.data.flow}) has no effect: model.stream is {self.model.stream}"
            )
        if self.data.rand_augment is not None and self.model.stream == "flow":
            yield "data.rand_augment is of pictures: model.stream is flow"
        if is_written:
            yield from self._mixing_misfits()
        generated = self.data.generated
        if self.test.split == "test" and (generated is None or "test" not in generated.splits):
            yield f"test.split (test): data set {self.data.dataset} has the splits train and val"
        if is_written and self.optim.policy == "tsm" and self.model.system == "trn":
            yield "optim.policy (tsm) has no rule for the classifier of system trn"
        yield from self._sampling_misfits()
        if self.model.num_classes is None and self.data.dataset != "folder":
            yield f"model.num_classes: null is for data.dataset folder, not {self.data.dataset}"
        if problem := self.without_spread(self.optim.batch_size // self.optim.accumulate):
            yield problem

    def _sampling_misfits(self) -> Iterator[str]:
        allowed, most_frames = sampling_limits(self.data.sampling)
        if self.test.clips not in allowed:
            yield (
                f"test.clips ({self.test.clips}) must be {' or '.join(map(str, allowed))} "
                f"with data.sampling {self.data.sampling}"
            )
        most_frames //= self.model.view.num_positions // self.model.num_frames
        if self.model.num_frames > most_frames:
            yield (
                f"model.num_frames ({self.model.num_frames}) must be at most {most_frames} with "
                f"data.sampling {self.data.sampling}"
            )

    def _mixing_misfits(self) -> Iterator[str]:
        for key in ("mixup_alpha", "cutmix_alpha"):
            alpha = getattr(self.loss, key)
            if alpha is not None and self.optim.batch_size == self.optim.accumulate:
                yield f"loss.{key} ({alpha}) has no effect: a part of a batch is one video"

    def without_spread(self, num_videos: int) -> str | None:
        """Message where so many videos at a time show batch norms a single value; else None."""
        frames = self.model.num_frames
        steps, pixels = smallest_map(self.model.backbone, frames)
        if self.model.system in ("atfr", "tpn"):  # a view may need no more; takes maxima over all
            steps = 1
        if num_videos * steps != 1 or self.data.crop_px > pixels:
            return None
        return (
            f"data.crop_px ({self.data.crop_px}) must be more than {pixels} with one video of "
            f"{'one frame' if frames == 1 else f'{frames} frames'} at a time: batch "
            "normalisation needs more than one value"
        )

    @property
    def protocol(self) -> str:
        """The test protocol's name: data set, clips × crops, crop size, `-score` if averaged so.

        And `-test` where it is not of the split `val`.
        """
        test = self.test
        name = f"{self.data.dataset}-{test.clips}x{test.crops}@{test.crop_px}"
        average = AVERAGES[test.average] if test.clips * test.crops > 1 else ""
        return name + average + SPLIT_ENDINGS[test.split]
