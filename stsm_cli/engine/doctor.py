"""A look at this machine: what `stsm train` and the other commands need, and how it fares here.

Each check is done by itself, and what it raises becomes its finding: nothing here stops at the
first fault, and heavy packages are imported by the check that is about them. Texts that go into a
report name neither this machine nor its user.
"""

import getpass
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from stsm_cli import __version__
from stsm_cli.cores import num_cores
from stsm_cli.data.manifest import SPLITS, classes_path, read_classes
from stsm_cli.errors import DataError
from stsm_cli.memory import available_memory
from stsm_cli.printable import one_line

GB = 1e9
# ours: a run of a ResNet-50 with its optimiser's state leaves two checkpoints of 0.2 GB
ENOUGH_DISK, LITTLE_DISK = 0.5 * GB, 5 * GB
ENOUGH_MEMORY, LITTLE_MEMORY = 0.7 * GB, 4 * GB
# ours: a process that reads hands over two batches of R-50, 48 videos of 8 frames, 58 MB each
LITTLE_SHARED = 1 * GB
EXTRAS = {
    "slurm": ("submitit",),
    "tensorboard": ("tensorboard",),
    "export": ("onnx", "onnxscript", "onnxruntime"),
}
"""Packages of the optional extras, by its name."""
SETTINGS = (
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"),
    "STSM_ALLOCATOR",
)
"""Environment variables that a report tells, where they are set; none of them holds a name."""
_PACKAGES = ("torch", "torchvision", "av", "decord", "numpy", "typer", "pydantic", "safetensors")
_CLIP = 12, 32, 40  # frames, height and width
_STEP_PX = 32
_REINSTALL = "install anew into a fresh environment: `pip install .` in the checkout"

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Seen:
    """What a check saw.

    Attributes:
        text: In words, without paths of this machine.
        remedy: What to do about it; empty where nothing is wrong.
        works: True where it can be used as it is.
    """

    text: str
    remedy: str = ""
    works: bool = True


@dataclass(frozen=True)
class Checkup:
    """One look at one thing.

    Attributes:
        name: Of the thing.
        look: The look; it may raise anything.
        remedy: What to do where it raises.
        needed: True for what `stsm train` cannot do without.
    """

    name: str
    look: Callable[[], Seen]
    remedy: str
    needed: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What is to be said of one check."""

    name: str
    state: State
    text: str
    remedy: str


def examine(checks: Sequence[Checkup]) -> Iterator[Diagnosis]:
    """The findings, one a check, in order."""
    for check in checks:
        try:
            seen = check.look()
        except Exception as error:  # whatever is broken: that is the finding
            seen = Seen(_told(error), check.remedy, works=False)
        state: State = "warning" if seen.remedy else "ok"
        if check.needed and not seen.works:
            state = "failed"
        yield Diagnosis(check.name, state, one_line(seen.text), seen.remedy)


def bug_report(findings: Sequence[Diagnosis]) -> str:
    """Text for a bug report: versions, settings and findings, nobody's name and no path."""
    settings = [f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ]
    lines = [
        ", ".join(f"{name} {version}" for name, version in _versions(_PACKAGES).items()),
        *([", ".join(settings)] if settings else []),
        *(f"{finding.name}: {finding.state}, {finding.text}" for finding in findings),
    ]
    return "\n".join(_nameless(line) for line in lines)


def _told(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    if isinstance(error, DataError):
        return first_line
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _nameless(text: str) -> str:
    """The text without the folders, the user and the host of this machine."""
    for folder, name in ((Path.cwd(), "."), (Path.home(), "~"), (tempfile.gettempdir(), "TEMP")):
        if str(folder) != os.sep:
            text = text.replace(str(folder), name)
    with suppress(Exception):  # where nobody knows the user: nothing to hide
        text = re.sub(rf"(?<=[/\\]){re.escape(getpass.getuser())}\b", "USER", text)
    host = platform.node()
    return re.sub(rf"\b{re.escape(host)}\b", "HOST", text) if host else text


def _system() -> str:
    system = f"{platform.system()} {platform.machine()}"
    library = " ".join(platform.libc_ver())
    return f"{system}, {library}" if library.strip() else system


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _gigabytes(size: float) -> str:
    return f"{size / GB:,.1f} GB"


def _program() -> Seen:
    return Seen(f"stsm {__version__}, Python {platform.python_version()}, {_system()}")


def _torch() -> Seen:
    import torch
    import torchvision

    text = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    if not hasattr(torch.ops.torchvision, "nms"):
        remedy = "take both from one build: `pip install --force-reinstall torch torchvision`"
        return Seen(f"{text}, which are of two builds", remedy, works=False)
    return Seen(text)


def _device() -> Seen:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name, count = torch.cuda.get_device_name(), torch.cuda.device_count()
        memory = f"{_gigabytes(free)} of {_gigabytes(total)} free"
        return Seen(f"{count} CUDA: {name}, {memory}, CUDA {torch.version.cuda}")
    text = f"CPU, {num_cores()} cores, {torch.get_num_threads()} threads"
    if not Path("/dev/nvidiactl").exists():
        return Seen(text)
    if torch.version.cuda is None:
        return Seen(
            f"{text}; there is an NVIDIA device, and this PyTorch is built without CUDA",
            "install PyTorch's build for your CUDA, as its web page says",
        )
    return Seen(
        f"{text}; there is an NVIDIA device that PyTorch (CUDA {torch.version.cuda}) cannot use",
        "compare its CUDA with `nvidia-smi`'s, and see whether CUDA_VISIBLE_DEVICES hides it",
    )


def _step() -> Seen:
    """A step of training, on the device that `--device auto` chooses."""
    import torch

    from stsm_cli.config.load import load_recipe
    from stsm_cli.engine.device import choose_device
    from stsm_cli.models.build import build_model

    device = choose_device("auto")
    recipe = load_recipe("synth/stsm").recipe
    network = build_model(recipe.model).to(device)
    videos = torch.rand(2, *network.view.shape(_STEP_PX), device=device)
    network(videos).square().mean().backward()
    loss = sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None)
    if not 0 < loss < float("inf"):
        return Seen(f"the gradient on {device} is {loss}", _REINSTALL, works=False)
    return Seen(f"{recipe.model.backbone} learns on {device}")


def _clip() -> bytes:
    """A video whose frame i is of grey 20·i."""
    import numpy as np

    from stsm_cli.data.render import encode

    num_frames, height, width = _CLIP
    grey = 20 * np.arange(num_frames, dtype=np.uint8)
    frames = np.broadcast_to(grey[:, None, None, None], (num_frames, height, width, 3))
    return encode(np.ascontiguousarray(frames), fps=8)


def _decoders() -> Seen:
    """A clip made here, read by each decoder: its frames, and each where it belongs."""
    import numpy as np

    from stsm_cli.data.decode import available_decoders, probe, read_frames

    wanted = np.array([9, 2, 11])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        path.write_bytes(_clip())
        if (total := probe(path).num_frames) != _CLIP[0]:
            raise DataError(f"of a clip of {_CLIP[0]} frames {total} decode")
        for decoder in available_decoders():
            found = read_frames(path, wanted, decoder=decoder).mean((1, 2, 3)) / 20
            if not np.array_equal(found.round(), wanted):
                raise DataError(f"{decoder} gives frames {found.round()} for {wanted}")
    versions = _versions(("av", "decord"))
    names = {"pyav": f"pyav {versions.get('av')}", "decord": f"decord {versions.get('decord')}"}
    told = ", ".join(names[decoder] for decoder in available_decoders())
    return Seen(f"{told}: a clip is written and read, frame by frame")


def _disk() -> Seen:
    free = shutil.disk_usage(Path()).free
    text = f"{_gigabytes(free)} free in the working folder"
    with tempfile.TemporaryFile(dir=Path("runs") if Path("runs").is_dir() else Path()):
        pass  # runs are made there
    if free >= LITTLE_DISK:
        return Seen(text)
    remedy = "free some space, or work in another folder: checkpoints and data sets go here"
    return Seen(text, remedy, works=free >= ENOUGH_DISK)


def _memory() -> Seen:
    free = available_memory()
    if free is None:
        return Seen("this system does not tell how much is free")
    text = f"{_gigabytes(free)} available"
    if free >= LITTLE_MEMORY:
        return Seen(text)
    remedy = "end other programs, or use fewer --workers and smaller batches"
    return Seen(text, remedy, works=free >= ENOUGH_MEMORY)


def _shared_memory() -> Seen:
    if not (folder := Path("/dev/shm")).is_dir():
        return Seen("this system has no folder for it")
    free = shutil.disk_usage(folder).free
    text = f"{_gigabytes(free)} free"
    if free >= LITTLE_SHARED:
        return Seen(text)
    return Seen(text, "in a container, `docker run --shm-size 8g`; else few --workers, or 0")


def _temporary() -> Seen:
    with tempfile.TemporaryFile():
        free = shutil.disk_usage(tempfile.gettempdir()).free
    return Seen(f"can be written, {_gigabytes(free)} free")


def _caches() -> Seen:
    """Folders that others' packages fill: downloaded weights, and lists of fonts."""
    import matplotlib
    import torch

    for variable, folder in (
        ("TORCH_HOME", Path(torch.hub.get_dir())),
        ("MPLCONFIGDIR", Path(matplotlib.get_cachedir())),
    ):
        above = next(place for place in (folder, *folder.parents) if place.is_dir())
        if not os.access(above, os.W_OK):
            remedy = f"set {variable} to a folder that can be written"
            return Seen(f"{folder}: cannot be written", remedy, works=False)
    return Seen("weights' and figures' can be written")


def _data_sets() -> Seen:
    """The prepared sets below `data/`, by the lengths of their lists."""
    found, broken = [], []
    for classes in sorted(Path("data").glob("*/manifest/classes.txt")):
        root = classes.parents[1]
        try:
            found.append(_data_set(root))
        except (DataError, OSError) as error:
            broken.append(_told(error))
    remedy = "`stsm prepare` makes its lists again" if broken else ""
    none = "none in data/; `stsm train` makes the embedded one"
    return Seen("; ".join([*found, *broken]) or none, remedy)


def _data_set(root: Path) -> str:
    counts = []
    for split in SPLITS:
        with (root / "manifest" / f"{split}.csv").open("rb") as file:
            next(file, None)  # the heading
            first = next(file, b"").decode().partition(",")[0].strip('"')
            counts.append(sum(1 for _ in file) + bool(first))
        if first and not (root / first).exists():
            raise DataError(f"{root.as_posix()}: {first} is not there")
    classes = len(read_classes(classes_path(root)))
    return f"{root.name} ({counts[0]:,} + {counts[1]:,} videos, {classes} classes)"


def _extras() -> Seen:
    told = []
    for extra, packages in EXTRAS.items():
        versions = _versions(packages)
        is_whole = len(versions) == len(packages)
        told.append(f"{extra} ({', '.join(versions.values())})" if is_whole else f"no {extra}")
    return Seen("; ".join(told))


CHECKS = (
    Checkup("program", _program, _REINSTALL),
    Checkup("PyTorch", _torch, _REINSTALL, needed=True),
    Checkup("device", _device, "see whether `--device cpu` works", needed=True),
    Checkup("training step", _step, _REINSTALL, needed=True),
    Checkup("decoders", _decoders, "`pip install --force-reinstall av`", needed=True),
    Checkup("disk", _disk, "work in a folder that can be written", needed=True),
    Checkup("memory", _memory, "use fewer --workers and smaller batches", needed=True),
    Checkup("shared memory", _shared_memory, "use --workers 0"),
    Checkup(
        "temporary files", _temporary, "set TMPDIR to a folder that can be written", needed=True
    ),
    Checkup("caches", _caches, "set TORCH_HOME and MPLCONFIGDIR to folders that can be written"),
    Checkup("data sets", _data_sets, "`stsm prepare` makes their lists again"),
    Checkup("extras", _extras, "`pip install '.[export]'` in the checkout, for example"),
)
"""In the order of their lines."""
