"""Facts of a checkpoint that no tensor tells, as the configuration in it states them.

MMAction2's is a program's text, PySlowFast's YAML.
"""

import re
from collections.abc import Mapping, Sequence
from math import isclose, prod
from pathlib import Path

from stsm_cli.config.schema import Sampling
from stsm_cli.config.view import View
from stsm_cli.errors import CheckpointError

EMBEDDED_GAUSSIAN = "embedded_gaussian"
"""The mode of the non-local blocks here; they have no scale (`use_scale=False`)."""
SOMETHING_V1 = "sthv1"
_KNOWN = {
    "shift_div": "8",
    "style": "pytorch",
    "use_scale": "False",
    "mode": EMBEDDED_GAUSSIAN,
    "temporal_pool": "False",
    "STRIDE_1X1": "false",
    "to_bgr": "False",
    "to_rgb": "False",  # MMAction2 1.x decodes to RGB, and turns that around
}
_BACKBONES = re.compile(r"ResNet(TSM|3dSlowOnly|3dSlowFast)?|MobileNetV2(TSM)?")
"""MMAction2's own that are known here; its C2D has a ResNet's tensors, and pools over time."""


def check_stated(path: Path, configuration: str, *, shifted: bool, non_local: bool) -> None:
    """Refuse what the configuration says and no tensor shows, where it is not as known here.

    Raises:
        CheckpointError: It says so.
    """
    _, _, blocks = configuration.partition("non_local_cfg")
    said = {"style": configuration}
    said |= {"shift_div": configuration} if shifted else {}
    said |= {"mode": blocks, "use_scale": blocks} if non_local else {}
    _check_known(path, said)


def check_project(path: Path, configuration: str, source: str, view: View) -> None:
    """Likewise of what the configurations of one project say, and of pixels other than `view`'s.

    PySlowFast's `REVERSE_INPUT_CHANNEL` says nothing: its own data sets of frames set it.

    Raises:
        CheckpointError: It says so.
    """
    if source == "mmaction2":
        _check_backbone(path, _stated(_inside(configuration, "backbone"), "type"))
        pixels = _inside(configuration, "data_preprocessor")
        said = {"temporal_pool": configuration, "to_bgr": configuration, "to_rgb": pixels}
        _check_known(path, said)
        _check_pixels(path, configuration, {"mean": view.mean, "std": view.std}, scale=1)
    if source == "pyslowfast":
        _check_known(path, {"STRIDE_1X1": configuration})
        _check_pixels(path, configuration, {"MEAN": view.mean, "STD": view.std}, scale=255)


def _check_known(path: Path, said: Mapping[str, str]) -> None:
    """Refuse a value unknown here, each looked for in its part of the configuration."""
    for name, text in said.items():
        if (value := _stated(text, name)) and value.lower() != _KNOWN[name].lower():
            what = "non-local blocks of" if name in ("mode", "use_scale") else "a network of"
            raise CheckpointError(f"{path}: has {what} {name} {value}, unknown here")


def _check_backbone(path: Path, stated: str | None) -> None:
    """Refuse one of MMAction2's own that is unknown; those of others see frames one by one."""
    library, _, name = (stated or "").rpartition(".")
    if name and library in ("", "mmaction") and not _BACKBONES.fullmatch(name):
        raise CheckpointError(f"{path}: has a network of backbone {name}, unknown here")


def _check_pixels(
    path: Path, configuration: str, known: Mapping[str, Sequence[float]], *, scale: int
) -> None:
    for name, values in known.items():
        here = [round(value / scale, 5) for value in values]
        for stated in _numbers(configuration, name):
            if len(stated) != len(here) or any(
                not isclose(*pair, rel_tol=1e-3) for pair in zip(stated, here, strict=True)
            ):
                raise CheckpointError(
                    f"{path}: trained on pixels of {name} {stated}, the network here takes {here}"
                )


def check_mode(path: Path, configuration: str, mode: str | None, source: str | None) -> None:
    """Refuse non-local blocks whose mode is not stated; TSM's authors have one mode alone.

    Args:
        path: The checkpoint.
        configuration: The one in it, or ``.
        mode: As the user states it.
        source: None where there are no such blocks.

    Raises:
        CheckpointError: The mode is not stated, or not the one known here.
    """
    if source is None and mode is not None:
        raise CheckpointError(f"{path}: has no non-local blocks, but --non-local {mode} was given")
    if mode not in (None, EMBEDDED_GAUSSIAN):
        raise CheckpointError(f"{path}: has non-local blocks of mode {mode}, unknown here")
    _, _, blocks = configuration.partition("non_local_cfg")
    is_stated = _stated(blocks, "mode") and _stated(blocks, "use_scale")
    if source == "mmaction2" and mode is None and not is_stated:
        raise CheckpointError(
            f"{path}: has non-local blocks, and no configuration that states their mode and scale",
            hint=f"if its configuration has mode='{EMBEDDED_GAUSSIAN}' and use_scale=False, "
            f"add `--non-local {EMBEDDED_GAUSSIAN}`; others are unknown here",
        )


def stated_frames(configuration: str) -> int | None:
    """Frames of a view in training; None where they are not stated."""
    if found := re.search(r"^ +NUM_FRAMES: (\d{1,4})$", configuration, re.MULTILINE):  # PySlowFast
        return int(found[1])
    sizes = map(_sizes, _samplers(configuration))
    known = [map(int, size) for size in sizes if all(re.fullmatch(r"\d{1,4}", x) for x in size)]
    return min(map(prod, known), default=None)  # those of a test may be more, by its clips


def stated_sampling(configuration: str) -> Sampling | None:
    """`uniform` or `dense`, where MMAction2's samplers are of one alone of them."""
    kinds = {_sampling(text) for text in _samplers(configuration)}
    return kinds.pop() if len(kinds) == 1 else None


def _sampling(sampler: str) -> Sampling | None:
    """That of a network that sees frames one by one; frames side by side are of neither kind."""
    kind, (length, _) = (_stated(sampler, "type") or "").rpartition(".")[2], _sizes(sampler)
    if length != "1":
        return None
    return "dense" if kind == "DenseSampleFrames" else "uniform" if kind == "SampleFrames" else None


def _samplers(configuration: str) -> list[str]:
    return re.findall(r"dict\([^()]*SampleFrames[^()]*\)", configuration)


def _sizes(sampler: str) -> list[str]:
    """Frames side by side, and how often; `` where they are not stated."""
    return [_stated(sampler, key) or "" for key in ("clip_len", "num_clips")]


def stated_ratio(configuration: str) -> int | None:
    """SlowFast's fast frames for each slow one; None where they are not stated."""
    section = re.search(r"^SLOWFAST:\n((?: .*\n)*)", f"{configuration}\n", re.MULTILINE)
    found = re.search(r"\bALPHA: ([1-9]\d?)\n", section[1]) if section else None
    found = found or re.search(r"\bresample_rate=([1-9]\d?)\b", configuration)  # MMAction2
    return int(found[1]) if found else None


def stated_dataset(configuration: str) -> str | None:
    """`sthv1` or `sthv2`, where one alone of them is named."""
    found = set(re.findall(r"(?<![a-zA-Z])(?:sth|ss)v([12])(?!\d)", configuration))
    return f"sthv{found.pop()}" if len(found) == 1 else None


def states_share(configuration: str) -> bool:
    """Tell whether the share of shifted channels is stated."""
    return _stated(configuration, "shift_div") is not None


def _stated(configuration: str, name: str) -> str | None:
    """The value of `name`, as `mode='dot_product'` or `STRIDE_1X1: false` have one."""
    found = re.search(rf"\b{name}['\"]?\s*[=:]\s*['\"]?([\w.]+)", configuration)
    return found[1] if found else None


def _numbers(configuration: str, name: str) -> list[list[float]]:
    """The lists of numbers called `name`, in a line or, in YAML, one a line."""
    pattern = rf"\b{name}['\"]?\s*[=:]\s*((?:- [-+.\de]+\s*)+|[\[(][^\])]*)"
    texts = re.findall(pattern, configuration)
    lists = [re.findall(r"-?\d+(?:\.\d*)?(?:e-?\d+)?", text) for text in texts]
    return [[float(number) for number in numbers] for numbers in lists if numbers]


def _inside(configuration: str, name: str) -> str:
    """What stands in `name=dict(...)` itself, not in the parentheses in it."""
    parts = re.split(rf"\b{name}\s*=\s*dict\(", configuration, maxsplit=1)[1:]
    depth, own = 0, []
    for piece in re.split(r"([()])", "".join(parts)):
        depth += (piece == "(") - (piece == ")")
        if depth < 0:
            break
        own.append(piece if depth == 0 else "")
    return "".join(own)
