import ast
from pathlib import Path

import pytest

from stsm_cli.bench.measured_code import MEASURED_CODE, code_hash, what_runs

PACKAGE = Path(__file__).parents[2] / "stsm_cli"

SOURCE = b"""
import torch


def half(x, num_frames):
    total = x.sum()
    return total * 0.5
"""


def files(benchmark):
    """Those whose change makes a figure stale, below the package."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for pattern in MEASURED_CODE[benchmark]
        for path in PACKAGE.glob(pattern)
    }


@pytest.mark.parametrize("benchmark", ["train", "stream"])
def test_the_code_of_every_network_is_measured_and_no_file_of_weights(benchmark):
    names = ("backbones", "build", "network", "shift", "shift_triton", "tdn", "tsn", "selfy")
    assert {f"models/{name}.py" for name in names} <= files(benchmark)
    assert not any(name.startswith("models/weights") for name in files(benchmark))
    assert ("engine/optim.py" in files(benchmark)) == (benchmark == "train")


def test_every_pattern_of_measured_code_finds_files():
    assert len({code_hash(name) for name in MEASURED_CODE}) == 4
    for patterns in MEASURED_CODE.values():
        for pattern in patterns:
            assert list(PACKAGE.glob(pattern))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"import torch\n", b"from torch import Tensor, nn\n"),
        (b"    total", b'    """Half of the sum."""\n    total'),
        (b"    total", b"    # a comment\n\n    total"),
        (b"    total", b"    if x.dim() > 2:\n        raise ValueError(x)\n    total"),
        (
            b"    total",
            b"    if not x:\n        y = len(x)\n        raise ValueError(y)\n    total",
        ),
        (b"x.sum()", b"(x\n        .sum())"),
    ],
)
def test_what_takes_no_time_changes_nothing(old, new):
    assert old in SOURCE
    assert what_runs(SOURCE.replace(old, new, 1)) == what_runs(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0.5", b"0.25"),
        (b"0.5", b"0"),
        (b"x.sum()", b"x.mean()"),
        (b"x.sum()", b"x.sum(0)"),
        (b"    return", b"    if x.dim() > 2:\n        return x\n    return"),
        (
            b"    return",
            b"    if not x:\n        raise ValueError\n    else:\n        x = 1\n    return",
        ),
        (b"    return", b"    x.clone()\n    return"),
        (b"(x, num_frames)", b"(x, num_frames=None)"),
    ],
)
def test_what_runs_otherwise_is_other_code(old, new):
    assert what_runs(SOURCE.replace(old, new, 1)) != what_runs(SOURCE)


def test_zero_false_and_none_are_told_apart():
    assert (
        len({what_runs(b"x = %b" % value) for value in (b"0", b"False", b"None", b"[]", b"''")})
        == 5
    )


def test_every_python_gives_the_same_text():
    text = what_runs(
        b"class A(B):\n    def f(self, x: int = 1) -> str:\n        return f'{x!r:>{self.w}}'\n"
    )
    assert text == (
        "['Module', [['ClassDef', 'A', [['Name', 'B', ['Load']]], [['FunctionDef', 'f', "
        "['arguments', [['arg', 'self'], ['arg', 'x', ['Name', 'int', ['Load']]]], "
        "[['Constant', 1]]], [['Return', ['JoinedStr', [['FormattedValue', ['Name', 'x', "
        "['Load']], 114, ['JoinedStr', [['Constant', '>'], ['FormattedValue', ['Attribute', "
        "['Name', 'self', ['Load']], 'w', ['Load']], -1]]]]]]]], ['Name', 'str', ['Load']]]]]]]"
    )
    assert ast.parse(text)
