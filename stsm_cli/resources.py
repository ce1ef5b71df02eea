"""Folders of shipped recipes, data-set cards and weights: in the wheel, or beside the checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource_dir(name: str) -> Path:
    """The folder `recipes`, `datasets` or `weights` of this installation."""
    inside_wheel = _PACKAGE / name
    return inside_wheel if inside_wheel.is_dir() else _PACKAGE.parent / name
