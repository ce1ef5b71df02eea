"""A trained network as a file that other programs run: ONNX, torch.export's, or its weights.

The one rule: what is written has been read back, run, and compared with the network.
"""

import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast

import torch
from torch import Tensor, nn

from stsm_cli.engine.card import ModelCard, make_card
from stsm_cli.engine.deployed import Port, WithPreprocessing, example, ports
from stsm_cli.engine.identity import weights_sha256
from stsm_cli.engine.onnx_session import open_session
from stsm_cli.engine.scores import class_orders
from stsm_cli.engine.trained import Trained
from stsm_cli.errors import StsmError
from stsm_cli.models.network import Network
from stsm_cli.models.shift import ShiftedConv, plain_state_dict
from stsm_cli.models.weights import FORMAT, load_weights
from stsm_cli.models.weights_convert import serialised
from stsm_cli.models.weights_kind import CARD, SAFETENSORS
from stsm_cli.progress import SILENT, Progress

Forward = Callable[[Tensor], Tensor]

BATCHES = (1, 3)  # compared; the graph is captured with 2
MOST_VIDEOS = 2**20  # at a time; trap: torch 2.6 refuses a dimension without a bound
TOLERANCE = 1e-3  # ours: of the largest output; other kernels add up in another order
LATENCY_RUNS, LATENCY_SECONDS = 20, 2.0
"""Runs of each variant, and the time after which no further round is begun."""


@dataclass(frozen=True)
class Exported:
    """A file's content, and how it compares with the network.

    Attributes:
        content: The bytes.
        difference: The largest one between its output and the network's.
        bound: The most that it may be.
        milliseconds: Of one video, of the network and of the file, on the CPU; None where the file
            is no program.
    """

    content: bytes
    difference: float
    bound: float
    milliseconds: tuple[float, float] | None


def export_model(
    model: Network,
    subject: Trained,
    classes: tuple[str, ...],
    ending: str,
    *,
    with_preprocessing: bool = False,
    data_root: Path | None = None,
    progress: Progress = SILENT,
) -> tuple[ModelCard, Exported]:
    """The file of a trained network, and its card.

    Args:
        model: The network of `subject`, on the CPU, in eval mode.
        subject: Its recipe, with the protocol of its test.
        classes: Names in label order.
        ending: `.onnx`, `.pt2` or `.safetensors`.
        with_preprocessing: Pixels in, probabilities out; see `WithPreprocessing`.
        data_root: The data set, for `subject.mirror_of`.
        progress: Is told what is done, and why an accuracy is not known.

    Raises:
        StsmError: The exporter cannot do this network, or the file gives something else than it.
    """
    recipe = subject.recipe
    mirror = subject.mirror_of(classes, data_root)
    takes, gives = ports(recipe, model.num_classes, with_preprocessing=with_preprocessing)
    card = make_card(
        subject,
        classes,
        weights_sha256(model),
        takes=str(takes),
        gives=str(gives),
        with_preprocessing=with_preprocessing,
        mirror=mirror,
        progress=progress,
    )
    network: nn.Module = model
    if with_preprocessing:
        orders = class_orders(recipe, classes, recipe.test, mirror)
        num_views = recipe.test.clips * recipe.test.crops
        network = WithPreprocessing(model, num_views, recipe.test.average, orders).eval()
    progress.message(f"exporting {subject.called}")
    name = "+".join(filter(None, (recipe.model.backbone, recipe.model.system)))
    match ending:
        case ".onnx":
            return card, to_onnx(network, takes, gives, card, name)
        case ".pt2":
            return card, to_program(network, takes, card, name)
    return card, to_weights(model, takes, card, name)


def to_onnx(network: nn.Module, takes: Port, gives: Port, card: ModelCard, name: str) -> Exported:
    """An ONNX file of `network`, for any number of videos at a time.

    Args:
        network: On the CPU, in eval mode.
        takes: Its input.
        gives: Its output.
        card: What the file is to say of itself.
        name: Of the network, for messages.

    Raises:
        StsmError: The exporter cannot do this network, or the file gives something else than it.
    """
    program = _captured(network, takes, name)
    with _telling(name, "ONNX"):
        graph = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=[takes.name],
            output_names=[gives.name],
        )
        assert graph is not None  # with dynamo it is one
        model = graph.model_proto
        for port in (model.graph.input[0], model.graph.output[0]):
            port.type.tensor_type.shape.dim[0].dim_param = "N"
        model.metadata_props.add(key=CARD, value=card.text())
        content = model.SerializeToString()
        session = open_session(content, torch.get_num_threads())
    run: Forward = lambda x: torch.from_numpy(session.run(None, {takes.name: x.numpy()})[0])  # noqa: E731
    return _compared(content, network, run, takes, name)


def to_program(network: nn.Module, takes: Port, card: ModelCard, name: str) -> Exported:
    """A file of `torch.export`, which `torch.export.load` reads; else as `to_onnx`."""
    program = _captured(network, takes, name)
    file = io.BytesIO()
    with _telling(name, "program"):
        torch.export.save(program, file, extra_files={CARD: card.text()})
        file.seek(0)
        run = cast(Forward, torch.export.load(file).module())
    return _compared(file.getvalue(), network, run, takes, name)


def to_weights(network: Network, takes: Port, card: ModelCard, name: str) -> Exported:
    """A safetensors file for `--checkpoint` and `--init`, as `stsm convert` writes; else as above.

    Shifted convolutions are named as plain ones.
    """
    is_shifted = any(isinstance(module, ShiftedConv) for module in network.modules())
    weights = {key: tensor.contiguous() for key, tensor in plain_state_dict(network).items()}
    about = {"format": FORMAT, "source": "stsm", "shifted": str(is_shifted).lower()}
    about["recipe"] = card.name
    content = serialised(weights, {**about, CARD: card.text()})
    again = deepcopy(network)
    for tensor in again.state_dict().values():
        tensor.zero_()
    with TemporaryDirectory() as folder:
        path = Path(folder, f"read_back{SAFETENSORS}")
        path.write_bytes(content)
        load_weights(again, path)
    return _compared(content, network, again, takes, name, is_program=False)


@contextmanager
def _telling(name: str, what: str) -> Iterator[None]:
    """A block of the exporter; what it raises is about the network, what it warns of about itself.

    Raises:
        StsmError: It raised something.
    """
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), _unlogged():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # an exporter raises almost anything
        cause: BaseException = error
        while cause.__cause__ is not None:  # what others wrap it in says less
            cause = cause.__cause__
        first_line = str(cause).strip().partition("\n")[0]
        raise StsmError(
            f"{name}: torch {torch.__version__} makes no {what} of this network "
            f"({type(cause).__name__}: {first_line})",
            hint="a later torch may; weights alone go into a file OUT.safetensors",
        ) from error


@contextmanager
def _unlogged() -> Iterator[None]:
    """A block whose log goes nowhere: of one graph that cannot be made torch logs all the rest."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


def _captured(network: nn.Module, takes: Port, name: str) -> torch.export.ExportedProgram:
    with _telling(name, "graph"), torch.no_grad():
        shapes = ({0: torch.export.Dim("N", min=1, max=MOST_VIDEOS)},)
        return torch.export.export(
            network,
            (example(takes, 2),),
            dynamic_shapes=shapes,
            strict=False,  # torch 2.6's default fails at zip and min
        )


@torch.inference_mode()
def _compared(
    content: bytes,
    network: nn.Module,
    run: Forward,
    takes: Port,
    name: str,
    *,
    is_program: bool = True,
) -> Exported:
    """The file's content with the largest difference of its outputs from the network's.

    Raises:
        StsmError: They differ by more than the bound.
    """
    differences, sizes = [], []
    for num_videos in BATCHES:
        videos = example(takes, num_videos, seed=num_videos)
        expected = network(videos)
        differences.append((run(videos) - expected).abs().max())
        sizes.append(expected.abs().max())
    difference = float(torch.stack(differences).max())  # trap: Python's max passes over NaN
    bound = TOLERANCE * float(torch.stack(sizes).max())
    if not difference <= bound:  # nor where it is no number
        raise StsmError(
            f"{name}: the exported network's outputs differ from the network's by up to "
            f"{difference:.2g}, more than {bound:.2g}; nothing was written"
        )
    one = example(takes, 1)
    return Exported(content, difference, bound, _latency(network, run, one) if is_program else None)


def _latency(network: Forward, run: Forward, one: Tensor) -> tuple[float, float]:
    """Median milliseconds of both on one video, taking turns."""
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + LATENCY_SECONDS
    for _ in range(LATENCY_RUNS):
        for variant, own in zip((network, run), times, strict=True):
            start = time.perf_counter()
            variant(one)
            own.append(1000 * (time.perf_counter() - start))
        if time.perf_counter() > end:
            break
    return median(times[0]), median(times[1])
