"""The code that a benchmark measures, as a hash: a figure of other code is not shown.

Comments, docstrings and refusals (`REFUSALS` behind an `if`, with its test, which is made once a
call) are left out, so that a clearer refusal leaves a figure as it is.
"""

import ast
import hashlib
from pathlib import Path
from typing import Any, Literal

Benchmark = Literal["shift", "reading", "train", "stream"]
REFUSALS = ("ValueError", "DataError", "UsageError")
"""What is raised at a user's mistake; what else is raised may be a turn that the code takes."""

_NETWORKS = "models/[!w]*.py"  # all but files of weights
MEASURED_CODE: dict[Benchmark, tuple[str, ...]] = {
    "shift": ("allocator.py", "models/shift*.py"),
    "reading": ("allocator.py", "data/*.py", "prepare/transcode.py"),
    "train": (
        "allocator.py",
        "data/*.py",
        "engine/autocast.py",
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
    """The syntax of Python code without comments, docstrings and refusals; by every Python one."""
    return repr(_plain(ast.parse(source)))


def _plain(part: Any) -> Any:  # noqa: ANN401  # a node, a list of nodes, a name or a number
    """Names and values, without fields that are empty: newer Pythons have more of them."""
    if isinstance(part, list):
        return [_plain(one) for one in part if not _is_left_out(one)]
    if isinstance(part, ast.AST):
        fields = {name: _plain(value) for name, value in ast.iter_fields(part)}
        return type(part).__name__, {k: v for k, v in fields.items() if v not in (None, [])}
    return part


def _is_left_out(node: object) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.If(body=[*_, ast.Raise(exc=ast.Call(func=ast.Name(name)))], orelse=[]):
            return name in REFUSALS
    return False
