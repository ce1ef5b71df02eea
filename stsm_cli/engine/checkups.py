"""The single looks of `stsm doctor`, in the order of their lines."""

import csv
import os
import platform
import shutil
import tempfile
from pathlib import Path

from stsm_cli import __version__
from stsm_cli.cores import num_cores
from stsm_cli.data.manifest import SPLITS, classes_path, read_classes
from stsm_cli.engine.doctor import Checkup, Seen, error_text, system, versions
from stsm_cli.errors import DataError
from stsm_cli.memory import available_memory
from stsm_cli.printable import counted

GB = 1e9
# ours: a run of a ResNet-50 with its optimiser's state leaves two checkpoints of 0.2 GB
ENOUGH_DISK, LITTLE_DISK = 0.5 * GB, 5 * GB
ENOUGH_MEMORY, LITTLE_MEMORY = 0.7 * GB, 4 * GB
# ours: 8 processes that read have two batches each in it, R-50's of 48 × 8 frames, 58 MB
LITTLE_SHARED = 1 * GB
_OPENCV = ("opencv-python-headless", "opencv-python")
_OPENCV_CONTRIB = ("opencv-contrib-python-headless", "opencv-contrib-python")
EXTRAS: dict[str, tuple[tuple[str, ...], ...]] = {
    "flow": ((*_OPENCV, *_OPENCV_CONTRIB),),
    "slurm": (("submitit",),),
    "tensorboard": (("tensorboard",),),
    "wandb": (("wandb",),),
    "export": (("onnx",), ("onnxscript",), ("onnxruntime",)),
}
"""Packages of the optional extras, by its name; any of a group will do."""
_CLIP = 12, 32, 40  # frames, height and width
_STEP_PX = 32
_REINSTALL = "install anew into a fresh environment: `pip install .` in the checkout"


def _gigabytes(size: float) -> str:
    return f"{size / GB:,.1f} GB"


def _program() -> Seen:
    return Seen(f"stsm {__version__}, Python {platform.python_version()}, {system()}")


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
    text = f"CPU, {counted(num_cores(), 'core')}, {counted(torch.get_num_threads(), 'thread')}"
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
    found_versions = versions(("av", "decord"))
    packages = {"pyav": "av", "decord": "decord"}
    told = ", ".join(f"{name} {found_versions[packages[name]]}" for name in available_decoders())
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
            broken.append(error_text(error))
    remedy = "`stsm prepare` makes its lists again" if broken else ""
    none = "none in data/; `stsm train` makes the embedded one"
    return Seen("; ".join([*found, *broken]) or none, remedy)


def _data_set(root: Path) -> str:
    counts = []
    for split in SPLITS:
        with (root / "manifest" / f"{split}.csv").open("rb") as file:
            next(file, None)  # the heading
            row = next(csv.reader([next(file, b"").decode()]))
            first = row[0] if row else ""
            counts.append(sum(1 for _ in file) + bool(first))
        if first and not (root / first).exists():
            raise DataError(f"{root.as_posix()}: {first} is not there")
    classes = len(read_classes(classes_path(root)))
    return f"{root.name} ({counts[0]:,} + {counts[1]:,} videos, {classes} classes)"


def _extras() -> Seen:
    there, missing = [], []
    for extra, groups in EXTRAS.items():
        own = [versions(group) for group in groups]
        named = ", ".join(f"{name} {number}" for any_of in own for name, number in any_of.items())
        if all(own):
            there.append(f"{extra} ({named})")
        else:
            missing.append(extra)
    if missing:
        there.append(f"to have more: `pip install 'stsm[{','.join(missing)}]'`")
    return Seen("; ".join(there))


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
