"""The code that a benchmark measures, as a hash: a figure of other code is not shown.

What takes no time is left out: comments, docstrings, imports and refusals (an `if` that ends in
`raise`). So a clearer message leaves a figure as it is.
"""

import ast
import hashlib
from pathlib import Path
from typing import Any, Literal

Benchmark = Literal["shift", "reading", "train", "stream"]

_NETWORKS = "models/[!w]*.py"  # all but files of weights
MEASURED_CODE: dict[Benchmark, tuple[str, ...]] = {
    "shift": ("allocator.py", "models/shift*.py"),
    "reading": ("allocator.py", "data/*.py", "prepare/transcode.py"),
    "train": (
        "allocator.py",
        "data/*.py",
        "engine/loss.py",
        "engine/optim.py",
        "engine/step.py",
        _NETWORKS,
        "prepare/transcode.py",
    ),
    "stream": ("allocator.py", _NETWORKS),
}
"""Files below the package whose change makes a figure one of code that is gone."""


def code_hash(benchmark: Benchmark) -> str:
    """The first 12 hex digits of the SHA-256 of the code that a benchmark measures."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for pattern in MEASURED_CODE[benchmark]:
        for path in sorted(package.glob(pattern)):
            digest.update(path.name.encode() + what_runs(path.read_bytes()).encode())
    return digest.hexdigest()[:12]


def what_runs(source: bytes) -> str:
    """The syntax of Python code without what takes no time; the same text by every Python."""
    return repr(_plain(ast.parse(source)))


def _plain(part: Any) -> Any:  # noqa: ANN401  # a node, a list of nodes, a name or a number
    """Lists of names and values, without fields that are empty: newer Pythons have more of them."""
    if isinstance(part, list):
        return [_plain(one) for one in part if not _takes_no_time(one)]
    if isinstance(part, ast.AST):
        values = [value for _, value in ast.iter_fields(part) if value not in (None, [])]
        return [type(part).__name__, *map(_plain, values)]
    return part


def _takes_no_time(node: object) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.If(body=[*_, ast.Raise()], orelse=[]):
            return True
    return False
