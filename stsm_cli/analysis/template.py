"""Texts made by filling in the files of `templates/`."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=select_autoescape(["html"]),  # Markdown is escaped when it becomes a page
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def fill(template: str, /, **values: object) -> str:
    """The text of a template, with `values` under the names that it gives them.

    Raises:
        UndefinedError: The template names a value that is not there.
    """
    return _TEMPLATES.get_template(template).render(values)
