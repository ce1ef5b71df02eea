"""Cells of CSV files for people: a spreadsheet takes some texts for formulas, and runs them.

The manifest, which is read again, has every name as it is.
"""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_text(cell: str) -> str:
    """The cell behind an apostrophe where it would be a formula."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell
