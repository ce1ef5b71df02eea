"""The parts of the site that nobody writes: made from the code each time MkDocs builds it.

Pages of commands (from their help), of the recipe's keys (from the schema), of the notebook; and
files of the repository outside `docs/`, which keep their own links.
"""

import ast
import inspect
import json
import math
import posixpath
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import typer

from stsm_cli.cli.app import app
from stsm_cli.config.kinds import Section
from stsm_cli.config.schema import Recipe

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md"),
    *("results/*.md", "results/*.svg", "results/speed/README.md"),
    *("results/history/*.md", "results/history/*.svg"),
)
NOTEBOOK = ROOT / "docs" / "notebook" / "shift.ipynb"
COLUMNS = 80  # of the help of a command: as many as a page shows without scrolling
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """The files of the site, with those that are made here."""
    from mkdocs.structure.files import File

    for uri, make in MADE.items():
        files.append(File.generated(config, uri, content=make()))
    for path in (path for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))):
        uri = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """The text of a page, its links between files as these lie in the site."""
    is_outside = (ROOT / page.file.src_uri).is_file()
    return relinked(markdown, page.file.src_uri, "" if is_outside else "docs")


def on_post_page(output: str, page: "Page", config: "MkDocsConfig") -> str:
    """The finished page, which can be read offline.

    Raises:
        ValueError: It loads something from elsewhere.
    """
    loaded = re.search(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(https?:[^"]*)', output)
    if loaded:
        raise ValueError(f"{page.file.src_uri} loads {loaded[1]}")
    return output


def relinked(markdown: str, uri: str, folder: str) -> str:
    """`markdown` with its links from file to file as they are where `docs/` is the root.

    Args:
        markdown: A page.
        uri: Its place in the site.
        folder: The repository's folder that `uri` counts from.
    """

    def moved(link: re.Match[str]) -> str:
        here = posixpath.dirname(uri)
        target = posixpath.normpath(posixpath.join(folder, here, link[1]))
        target = target.removeprefix("docs/").replace(".ipynb", ".md")  # its page
        return f"]({posixpath.relpath(target, here or '.')}"

    return re.sub(r"\]\((?!\w+:)([^)#\s]+)", moved, markdown)


def commands_page() -> str:
    """Every command with its help."""
    texts = _helps(typer.main.get_command(app), "stsm", None)
    intro = (
        "# Commands",
        "The help of every command, as `stsm COMMAND --help` prints it. Exit codes: 0 done; 1 "
        "failed (data, checkpoint, divergence); 2 the command or the recipe is wrong; 75 stopped "
        "by SIGTERM; 130 by Ctrl-C.",
    )
    return "\n\n".join([*intro, *(f"## {name}\n\n```text\n{text}\n```" for name, text in texts)])


def _helps(command: Any, word: str, above: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    context = command.context_class(
        command,
        above,
        word,
        max_content_width=COLUMNS,
        terminal_width=COLUMNS,
        **command.context_settings,
    )
    yield context.command_path, command.get_help(context)
    for name, part in getattr(command, "commands", {}).items():
        yield from _helps(part, name, context)


def recipe_page() -> str:
    """Every key of a recipe: what it may be, its default, what it does."""
    schema = Recipe.model_json_schema()
    parts = [
        "# Recipe reference",
        "A recipe is a YAML file of these sections. `stsm recipes show NAME` prints one with the "
        "origin of each value; `--set SECTION.KEY=VALUE` changes a key for one command. Keys "
        "without a default must be given, and unknown ones are refused. Which keys exclude each "
        "other, the error says.",
        *(_section(kind, path, schema) for path, kind in _sections(Recipe, "")),
    ]
    return "\n\n".join(parts) + "\n"


def _sections(kind: type[Section], path: str) -> Iterator[tuple[str, type[Section]]]:
    yield path, kind
    for name, field in kind.model_fields.items():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Section):
                yield from _sections(part, f"{path}.{name}".lstrip("."))


def _section(kind: type[Section], path: str, schema: dict[str, Any]) -> str:
    own = schema if kind is Recipe else schema["$defs"][kind.__name__]
    rows = [
        (f"`{name}`", allowed(value, f"{path}.{name}"), _default(value), _meaning(kind, name))
        for name, value in own["properties"].items()
    ]
    head = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n"
    title = f"## {path or 'The whole'}"
    lines = (f"| {' | '.join(row)} |" for row in rows)
    return f"{title}\n\n{inspect.getdoc(kind)}\n\n{head}" + "\n".join(lines)


def allowed(value: dict[str, Any], path: str) -> str:
    """What a key at `path` may be, by its JSON schema."""
    if "$ref" in value:
        path = path.lstrip(".")
        return f"[section](#{path.replace('.', '')})"
    if "anyOf" in value:
        return " or ".join(allowed(choice, path) for choice in value["anyOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    if value["type"] == "array":
        items = value.get("prefixItems", [value.get("items")])
        count = f"{len(items)} of" if "prefixItems" in value else "a list of"
        return f"{count}: {allowed(items[0], path)}"
    kind = "`null`" if value["type"] == "null" else value.get("format", value["type"])
    return ", ".join([kind, *_bounds(value)])


def _bounds(value: dict[str, Any]) -> Iterator[str]:
    for key, text in BOUNDS.items():
        is_wider = key == "exclusiveMinimum" and value.get("minimum", -math.inf) > value.get(key, 0)
        if key in value and not is_wider:
            yield text.format(_number(value[key]))


def _number(value: float) -> str:
    return f"{value:,}" if value < 10**9 else f"{value:.0e}"


def _default(value: dict[str, Any]) -> str:
    if "default" not in value:
        return "must be given"
    if isinstance(value["default"], dict):
        return "that of its keys"
    return f"`{json.dumps(value['default'])}`"


def _meaning(kind: type[Section], name: str) -> str:
    """The docstring of a key, which stands below it in the class or in one above."""
    texts = (
        _docstrings(owner).get(name) for owner in kind.__mro__[:-2] if issubclass(owner, Section)
    )
    return " ".join(next(filter(None, texts), "").split()).replace("|", "\\|")


@cache
def _docstrings(kind: type[Section]) -> dict[str, str]:
    """The keys that a class itself has, with their docstrings."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    return {
        key.target.id: text.value.value
        for key, text in pairwise(tree.body)
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def notebook_page() -> str:
    """The notebook with the outputs that it was committed with; a test runs it and compares."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    file = f'<a href="{NOTEBOOK.name}" download>This page as a notebook</a>'
    return "\n\n".join([*(text for cell in cells for text in _cell(cell)), file])


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            source = f"data:image/png;base64,{data['image/png'].strip()}"
            yield f'<img alt="what the lines above draw" src="{source}">'
        else:
            yield f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```"


MADE: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "recipe.md": recipe_page,
    "notebook/shift.md": notebook_page,
}
