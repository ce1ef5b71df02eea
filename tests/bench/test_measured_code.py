from pathlib import Path

import pytest

from stsm_cli.bench import measured_code
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
def test_comments_docstrings_and_refusals_change_nothing(old, new):
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
        (b"    return", b"    if x.dim() > 2:\n        raise _DoubtError(x)\n    return"),
        (b"(x, num_frames)", b"(x, num_frames=None)"),
        (b"import torch", b"from torch import nn"),
    ],
)
def test_what_runs_otherwise_is_other_code(old, new):
    assert what_runs(SOURCE.replace(old, new, 1)) != what_runs(SOURCE)


def test_what_a_field_holds_is_told_apart():
    for same in (
        (b"0", b"False", b"None", b"[]", b"''"),
        (b"x[:n]", b"x[n:]", b"x[::n]", b"x[n]"),
        (b"lambda a, b: a", b"lambda a, *, b: a", b"lambda a, *b: a", b"lambda a, b, /: a"),
    ):
        assert len({what_runs(b"x = " + value) for value in same}) == len(same)


def test_every_python_gives_the_same_text():
    text = what_runs(b"def f(x: int = 1) -> str: return f'{x!r:>{w}}' 'b'")
    assert text == (
        "('Module', {'body': [('FunctionDef', {'name': 'f', 'args': ('arguments', {'args': "
        "[('arg', {'arg': 'x', 'annotation': ('Name', {'id': 'int', 'ctx': ('Load', {})})})], "
        "'defaults': [('Constant', {'value': 1})]}), 'body': [('Return', {'value': ('JoinedStr', "
        "{'values': [('FormattedValue', {'value': ('Name', {'id': 'x', 'ctx': ('Load', {})}), "
        "'conversion': 114, 'format_spec': ('JoinedStr', {'values': [('Constant', {'value': '>'})"
        ", ('FormattedValue', {'value': ('Name', {'id': 'w', 'ctx': ('Load', {})}), 'conversion': "
        "-1})]})}), ('Constant', {'value': 'b'})]})})], 'returns': ('Name', {'id': 'str', 'ctx': "
        "('Load', {})})})]})"
    )


def test_the_hash_is_of_the_files_that_it_names(tmp_path, monkeypatch):
    package = tmp_path / "stsm_cli"
    for folder in ("bench", "models", "data", "engine", "prepare"):
        (package / folder).mkdir(parents=True)
    file = package / "models" / "shift.py"
    monkeypatch.setattr(measured_code, "__file__", str(package / "bench" / "measured_code.py"))
    file.write_bytes(SOURCE)
    before = {name: code_hash(name) for name in MEASURED_CODE}
    file.write_bytes(b"# a comment\n" + SOURCE)
    assert {name: code_hash(name) for name in MEASURED_CODE} == before
    file.write_bytes(SOURCE.replace(b"0.5", b"0.25"))
    changed = {name for name in MEASURED_CODE if code_hash(name) != before[name]}
    assert changed == {"shift", "train", "stream"}
