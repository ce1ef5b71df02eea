"""The layout's rules, read from the source of the package that is tested."""

import ast
import re
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import pytest

import stsm_cli

ROOT = Path(stsm_cli.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# single files that anyone may import
LEAVES = {
    "allocator",
    "atomic",
    "cores",
    "errors",
    "lifeline",
    "memory",
    "printable",
    "progress",
    "resources",
    "sigterm",
    "stored",
}
MAY_IMPORT = {
    "cli": {"bench", "engine", "analysis", "prepare", "models", "data", "config"},
    "bench": {"engine", "prepare", "models", "data", "config"},
    "engine": {"models", "data", "config"},
    "analysis": {"models", "data", "config"},
    "prepare": {"data", "config"},
    "models": {"config"},
    "data": {"config"},
    "config": set(),
    "errors": set(),
    "allocator": set(),
    "atomic": set(),
    "cores": set(),
    "lifeline": set(),
    "memory": set(),
    "printable": set(),
    "progress": set(),
    "resources": set(),
    "sigterm": set(),
    "stored": set(),
}
HEAVY = {
    "torch",
    "torchvision",
    "decord",
    "av",
    "matplotlib",
    "fvcore",
    "requests",
    "scipy",
    "submitit",
    "PIL",
    "onnxruntime",
}


def imports(tree):
    """(module, name) of every import below `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def module_level(tree):
    """The tree without the bodies of functions and of `if TYPE_CHECKING`."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = []
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    return tree


def parts_used(tree):
    """The top-level parts of the package that `tree` imports."""
    for module, name in imports(tree):
        package, *rest = module.split(".")
        if package == "stsm_cli":
            yield rest[0] if rest else name


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def part(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def ids(path):
    return path.relative_to(ROOT).as_posix()


def test_imports_run_one_way():
    assert len(FILES) > 200
    for path in FILES:
        if part(path) not in ("__init__", "__main__"):
            allowed = MAY_IMPORT[part(path)] | LEAVES | {part(path), "__version__"}
            assert set(parts_used(parse(path))) <= allowed, ids(path)


def test_imports_are_absolute_and_never_everything():
    for path in FILES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, ids(path)
                assert "*" not in [alias.name for alias in node.names], ids(path)


def test_commands_and_recipes_import_heavy_packages_only_inside_functions():
    light = [path for path in FILES if part(path) in ("cli", "config")]
    assert len(light) > 40
    for path in light:
        found = {module.split(".")[0] for module, _ in imports(module_level(parse(path)))}
        assert not found & HEAVY, ids(path)


def test_the_rules_above_see_what_they_forbid():
    source = "from stsm_cli.engine import train\ndef f():\n    import torch\n"
    assert set(parts_used(ast.parse(source))) == {"engine"}
    assert {module for module, _ in imports(ast.parse(source))} == {"stsm_cli.engine", "torch"}
    assert {module for module, _ in imports(module_level(ast.parse(source)))} == {"stsm_cli.engine"}


def test_no_file_hides_behind_a_name_that_says_nothing():
    names = {path.stem for path in FILES} | {path.parent.name for path in FILES}
    assert not names & {"utils", "helpers", "common", "misc", "base"}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def length(function):
    """Its lines from the first behind its docstring."""
    has_more = ast.get_docstring(function) is not None and len(function.body) > 1
    return function.end_lineno - function.body[1 if has_more else 0].lineno + 1


def test_functions_are_short():
    lengths = {
        f"{ids(path)}: {function.name}": length(function)
        for path in FILES
        for function in functions(parse(path))
    }
    assert median(lengths.values()) <= 10
    assert {name: lines for name, lines in lengths.items() if lines > 55} == {}


def test_a_length_is_without_signature_and_docstring():
    source = 'def f(\n    a,\n):\n    """One\n\n    two.\n    """\n    b = a\n    return b\n'
    assert [length(function) for function in functions(ast.parse(source))] == [2]


def kinds(tree):
    """Names of the public classes, type aliases and type variables of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.Assign) and is_type(node.value):
            yield from re.findall(r"^[A-Z]\w*[a-z]\w*$", ast.unparse(node.targets[0]))


def is_type(value):
    """True for what may be a type, and for a type variable."""
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("TypeVar", "typing.TypeVar")
    return isinstance(value, (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp))


def test_a_kind_is_defined_once():
    counts = Counter(name for path in FILES for name in kinds(parse(path)))
    assert {name for name, count in counts.items() if count > 1} == set()


def test_kinds_are_classes_aliases_and_type_variables():
    source = "class Score: ...\nclass _Own: ...\nKey = tuple[int, str]\nLAST = ROWS[-1]\nx = A[0]"
    assert list(kinds(ast.parse(source))) == ["Score", "Key"]
    source = "Text = str\nArray = np.ndarray\nKind = TypeVar('Kind')\nT = TypeVar('T')\nNow = now()"
    assert list(kinds(ast.parse(source))) == ["Text", "Array", "Kind"]


def typed(node):
    """An f-string as it is written, a blank for each of its values; other nodes are empty."""
    if not isinstance(node, ast.JoinedStr):
        return ""
    return "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)


def torn(tree):
    """The f-strings that put a value into a command of the program as it is."""
    commands = (
        "ablate|bench|convert|eval|export|flops|fuse|inspect|predict|prepare|recipes|report|train"
    )
    pattern = re.compile(rf"\bstsm (?:{commands})\b[^`]*?\0")
    yield from filter(pattern.search, map(typed, ast.walk(tree)))


def test_commands_that_users_copy_are_made_by_command_line():
    assert {ids(path): found for path in FILES if (found := list(torn(parse(path))))} == {}


def test_a_path_in_a_command_is_seen():
    source = (
        "f'{a}: `stsm train` or `{command_line(b)}`', f'`stsm eval {a} --best`', 'stsm train a'"
    )
    assert list(torn(ast.parse(source))) == ["`stsm eval \0 --best`"]


@pytest.mark.parametrize(
    "path",
    sorted(Path(__file__).parents[1].glob("benchmarks/*.py")),  # of the checkout
    ids=lambda path: path.name,
)
def test_what_a_benchmark_imports_is_there(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            for name in node.names:
                assert find_spec(name.name.partition(".")[0]), f"{path.name}: {name.name}"
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("stsm_cli"):
            module = import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name) or find_spec(f"{node.module}.{name.name}")
