"""Numbers as the cells of a table write them."""

from collections.abc import Iterable


def adds(macs: int) -> str:
    """Multiply-adds with the unit that leaves one to three digits before the point."""
    for unit, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if macs >= size:
            return f"{macs / size:.2f} {unit}"
    return f"{macs / 1e6:.1f} M"


def mega(params: int) -> str:
    """Parameters in M."""
    return f"{params / 1e6:.2f} M"


def joined(texts: Iterable[str | None]) -> str:
    """The different texts of several rows or runs; empty where there is none."""
    return ", ".join(dict.fromkeys(text for text in texts if text is not None))
