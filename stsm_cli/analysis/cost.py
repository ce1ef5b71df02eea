"""Cost of a network: multiply-adds and parameters.

The counts of the paper's networks travel with the package (`datasets/paper/counts.json`), so that
they are there without torch; any other network is counted when it is asked for (`counting.py`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.resources import resource_dir


@dataclass(frozen=True)
class LayerCost:
    """One module's own share, without its submodules'."""

    name: str
    macs: int
    params: int


@dataclass(frozen=True)
class ShiftSite:
    """One convolution with a shift before it."""

    site: str
    channels: int
    shifted: int
    by_group: Mapping[str, int]
    """Channels that move along each group of axes, such as `T` or `HW`."""


@dataclass(frozen=True)
class Cost:
    """The cost of one view."""

    macs: int
    params: int
    layers: tuple[LayerCost, ...]
    """Every module that has multiply-adds or parameters of its own; they add up to the totals."""
    skipped: Mapping[str, int]
    """Operators skipped by convention: how many elements they write."""
    uncounted: Mapping[str, int]
    """Operators that nobody counts: how often they run. Not empty means `macs` is incomplete."""
    sites: tuple[ShiftSite, ...]
    """Places where a shift stands, and how many channels it really moves there."""
    training_params: int
    """Those of `params` that training alone uses: of modules that no test calls."""


@lru_cache
def model_cost(config: ModelConfig, *, size_px: int) -> Cost:
    """The cost of one view of `size_px`² pixels in the network of `config`."""
    shipped = shipped_costs().get(_key(config, size_px))
    if shipped is not None:
        return shipped
    from stsm_cli.analysis.counting import count_cost  # takes seconds to import

    return count_cost(config, size_px=size_px)


@lru_cache
def shipped_costs() -> Mapping[tuple[ModelConfig, int], Cost]:
    """The counts that travel with the package, by network and by the side of a view in pixels."""
    file = resource_dir("datasets") / "paper" / "counts.json"
    networks = json.loads(file.read_text(encoding="utf-8"))["networks"]
    return {
        _key(_config(network, moved, view), view["size_px"]): _cost(network, moved, view)
        for network in networks
        for moved in network["shifts"]
        for view in network["views"]
    }


def what_costs(config: ModelConfig) -> ModelConfig:
    """The network with the defaults of all that costs nothing, but for its shift."""
    free = ("statistics", "dropout", "weights", "init")
    defaults = {name: ModelConfig.model_fields[name].default for name in free}
    return config.model_copy(update=defaults)


def _key(config: ModelConfig, size_px: int) -> tuple[ModelConfig, int]:
    return what_costs(config), size_px


def _config(
    network: Mapping[str, Any], moved: Mapping[str, Any], view: Mapping[str, Any]
) -> ModelConfig:
    shift = moved["shift"] and ShiftConfig(**moved["shift"])
    config = {**network["model"], "num_frames": view["num_frames"]}
    return ModelConfig.model_validate_json(json.dumps(config)).model_copy(update={"shift": shift})


def _cost(network: Mapping[str, Any], moved: Mapping[str, Any], view: Mapping[str, Any]) -> Cost:
    """The cost of one of the file's networks, which differ by shift in the names of some layers."""
    sites = tuple(
        ShiftSite(name, channels, sum(by_group.values()), by_group)
        for name, channels, by_group in moved["sites"]
    )
    inside = {site.site: f"{site.site}.net" for site in sites}
    names = [inside.get(name, name) for name in network["layers"]]
    return Cost(
        macs=sum(view["macs"]),
        params=sum(network["params"]),
        layers=tuple(map(LayerCost, names, view["macs"], network["params"])),
        skipped=view["skipped"],
        uncounted=view["uncounted"],
        sites=sites,
        training_params=network["training_params"],
    )
