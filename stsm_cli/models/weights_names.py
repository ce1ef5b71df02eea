"""Which project's checkpoint a file is, told from the names of its tensors."""

from collections.abc import Iterable

from stsm_cli.models.weights_layout import Layout, bare
from stsm_cli.models.weights_layouts_2d import MIT, MMACTION2, MMACTION2_MOBILENET, TORCHVISION
from stsm_cli.models.weights_layouts_3d import (
    I3D,
    MMACTION2_SLOWFAST,
    PYSLOWFAST_ATFR,
    PYSLOWFAST_SLOWFAST,
    PYSLOWFAST_SLOWONLY,
    SMALLBIG,
    VMZ,
)
from stsm_cli.models.weights_layouts_selfy import SELFY
from stsm_cli.models.weights_layouts_systems import ACTION, TDN, TEA
from stsm_cli.models.weights_layouts_tpn import MMACTION2_TPN, TPN
from stsm_cli.models.weights_layouts_trn import BNINCEPTION, TRN

LAYOUTS: tuple[Layout, ...] = (
    TPN,
    MMACTION2_TPN,
    MMACTION2_SLOWFAST,
    MMACTION2_MOBILENET,
    MMACTION2,
    ACTION,
    TEA,
    TDN,
    SELFY,
    TRN,
    MIT,
    PYSLOWFAST_ATFR,
    PYSLOWFAST_SLOWFAST,
    PYSLOWFAST_SLOWONLY,
    VMZ,
    SMALLBIG,
    I3D,
    BNINCEPTION,
    TORCHVISION,
)
"""The first whose marks a file has is its own: the more special ones stand before the plain."""
SOURCES = tuple(sorted({layout.source for layout in LAYOUTS}))


def layout_of(names: Iterable[str]) -> Layout | None:
    """The layout of tensors called so, as far as the names tell."""
    names = list(names)
    return next((layout for layout in LAYOUTS if layout.fits(names)), None)


def looks_like(names: Iterable[str]) -> str | None:
    """The project that calls its tensors so, as far as the names tell; `stsm` for our own."""
    names = list(names)
    if {"backbone", "fc"} <= {bare(name).partition(".")[0] for name in names}:
        return "stsm"
    layout = layout_of(names)
    return layout.source if layout else None


def known() -> str:
    """The projects and their networks, in words."""
    networks: dict[str, list[str]] = {source: [] for source in SOURCES}
    for layout in LAYOUTS:
        networks[layout.source].append(layout.networks)
    return "; ".join(f"{source} ({', '.join(of)})" for source, of in networks.items())
