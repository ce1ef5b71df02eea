"""Facts of a checkpoint that no tensor tells, as the configuration in it states them.

MMAction2's is a program's text, PySlowFast's YAML.
"""

import re
from math import prod
from pathlib import Path

from stsm_cli.errors import CheckpointError

EMBEDDED_GAUSSIAN = "embedded_gaussian"
"""The mode of the non-local blocks here; they have no scale (`use_scale=False`)."""
_KNOWN = {"shift_div": "8", "style": "pytorch", "use_scale": "False", "mode": EMBEDDED_GAUSSIAN}


def check_stated(path: Path, configuration: str, *, shifted: bool, non_local: bool) -> None:
    """Refuse what the configuration says and no tensor shows, where it is not as known here.

    Raises:
        CheckpointError: It says so.
    """
    _, _, blocks = configuration.partition("non_local_cfg")
    said = {"style": configuration}
    said |= {"shift_div": configuration} if shifted else {}
    said |= {"mode": blocks, "use_scale": blocks} if non_local else {}
    for name, text in said.items():
        if (value := _stated(text, name)) not in (_KNOWN[name], None):
            what = "non-local blocks of" if name in ("mode", "use_scale") else "a network of"
            raise CheckpointError(f"{path}: has {what} {name} {value}, unknown here")


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
    if found := re.search(r"^ +NUM_FRAMES: (\d+)$", configuration, re.MULTILINE):  # PySlowFast
        return int(found[1])
    samplers = re.findall(r"dict\([^()]*SampleFrames[^()]*\)", configuration)
    sizes = [[_stated(text, key) or "" for key in ("clip_len", "num_clips")] for text in samplers]
    known = [map(int, size) for size in sizes if all(map(str.isdecimal, size))]
    return min(map(prod, known), default=None)  # those of a test may be more, by its clips


def _stated(configuration: str, name: str) -> str | None:
    """The value of `name` in a configuration of MMAction2, as `mode='dot_product'` has one."""
    found = re.search(rf"\b{name}['\"]?\s*[=:]\s*['\"]?(\w+)", configuration)
    return found[1] if found else None
