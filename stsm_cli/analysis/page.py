"""The results on one HTML page that needs nothing else: to open, to print, to send.

Made from the Markdown files that `stsm report` writes and the pictures they show or link to, and
from nothing else: the same files give the same bytes. The page asks for nothing over the network,
runs no script, and takes no HTML from the files: what looks like a tag is shown as it stands.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from stsm_cli.analysis.records import write_whole
from stsm_cli.analysis.template import fill
from stsm_cli.atomic import may_replace

PAGE = "index.html"
TITLE = "STSM: the paper's tables, checked and measured"
MIME = {".svg": "image/svg+xml", ".png": "image/png"}
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable("table")
SHORT_CELL = 32  # characters of Markdown; a longer cell may be broken into lines
_ANCHOR = re.compile(r'<a id="(\w+)"></a>')  # how the audit names the heading below


def is_our_page(out: Path) -> bool:
    """True if the page of the folder `out` was made here, or there is none."""
    beginning = fill("page.html", title=TITLE, chapters=[]).partition("<style>")[0]
    return may_replace(out / PAGE, beginning)


def write_page(out: Path, files: Sequence[Path]) -> Path:
    """Write `index.html` into the folder of results; its path.

    Args:
        out: The folder of results.
        files: See `page_html`.

    Raises:
        UsageError: `out` cannot be written.
    """
    path = out / PAGE
    write_whole(path, page_html(files))
    return path


def page_html(files: Sequence[Path]) -> str:
    """The page, a chapter for each file.

    Pictures that a file links to and none shows get a chapter of their own behind the first. A
    link that leads neither to a place on the page nor to another site becomes plain text.

    Args:
        files: Markdown files of one folder, at least one, in the order of the page. Each opens
            with its title; the pictures lie beside them.
    """
    folder = files[0].parent
    chapters = [_chapter(file.stem, file.read_text(encoding="utf-8")) for file in files]
    chapters[1:1] = _linked_pictures(chapters, folder)
    labels = {chapter.anchor: chapter.title[0] for chapter in chapters}
    places = {*labels, *_embed_pictures(chapters, folder)}.union(*(c.places for c in chapters))
    for chapter in chapters:
        chapter.turn_links(places, labels)
    return fill("page.html", title=TITLE, chapters=chapters)


@dataclass(frozen=True)
class _Chapter:
    """A Markdown file: its own place on the page, places in it, which start with it, and text."""

    anchor: str
    places: Sequence[str]
    tokens: Sequence[Token]

    @property
    def title(self) -> tuple[str, str]:
        """The first heading: what stands before its colon, and behind it if it has one."""
        heading = next(token for token in self.tokens if token.type == "inline")
        label, _, rest = "".join(child.content for child in heading.children or ()).partition(": ")
        return label, rest

    def inline(self) -> Iterator[Token]:
        for token in self.tokens:
            yield from token.children or ()

    def turn_links(self, places: Set[str], labels: Mapping[str, str]) -> None:
        """Make links to files lead to `places`; one that reads as a file's name, to its label."""
        for link, text in pairwise(self.inline()):
            if link.type == "link_open":
                href = str(link.attrs["href"])
                anchor = self._anchor(href)
                if anchor in places:
                    link.attrs["href"] = f"#{anchor}"
                    if text.content == href:
                        text.content = labels.get(anchor, href)
                elif not href.startswith(("https://", "http://")):
                    del link.attrs["href"]

    def _anchor(self, href: str) -> str:
        file, _, fragment = href.partition("#")
        name = _picture(file) if Path(file).suffix in MIME else file.removesuffix(".md")
        return "-".join(filter(None, (name or self.anchor, fragment)))

    def html(self) -> Markup:
        """The text, escaped by the renderer."""
        body = _MARKDOWN.renderer.render(self.tokens, _MARKDOWN.options, {})
        body = body.replace("<table>", '<div class="table">\n<table>')  # as text it is escaped
        return Markup(body.replace("</table>", "</table>\n</div>"))


def _chapter(anchor: str, markdown: str) -> _Chapter:
    tokens, places = _MARKDOWN.parse(markdown), []
    for index, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"  # the page has a title above
        if token.type == "td_open" and len(tokens[index + 1].content) <= SHORT_CELL:
            token.attrs["class"] = "short"
        before = tokens[index - 2].content if token.type == "heading_open" and index > 2 else ""
        if found := _ANCHOR.fullmatch(before):
            token.attrs["id"] = f"{anchor}-{found[1]}"
            places.append(f"{anchor}-{found[1]}")
            for part in tokens[index - 3 : index]:
                part.hidden, part.children = True, []
    return _Chapter(anchor, places, tokens)


def _picture(path: str) -> str:
    """The place of a picture, the same for its SVG and its PNG."""
    return f"picture-{path.removesuffix('.svg').removesuffix('.png')}"


def _linked_pictures(chapters: Sequence[_Chapter], folder: Path) -> list[_Chapter]:
    """A chapter of the pictures that are linked to and not shown, or none."""
    inline = [token for chapter in chapters for token in chapter.inline()]
    shown = {_picture(str(token.attrs["src"])) for token in inline if token.type == "image"}
    lines = ["# Figures"]
    for link, text in pairwise(inline):
        path = str(link.attrs.get("href", ""))
        if _is_picture(folder, path) and _picture(path) not in shown:
            lines += [f"## {text.content}", f"![{text.content}]({path})"]
            shown.add(_picture(path))
    return [_chapter("figures", "\n\n".join(lines))] if len(lines) > 1 else []


def _embed_pictures(chapters: Sequence[_Chapter], folder: Path) -> list[str]:
    """Put the pictures into the page, or their texts where there is none; their places."""
    places: list[str] = []
    for image in [token for chapter in chapters for token in chapter.inline()]:
        if image.type == "image":
            source = str(image.attrs["src"])
            file, place = folder / unquote(source), _picture(source)
            if not _is_picture(folder, source):
                image.type, image.children = "text", None
                continue
            data = b64encode(file.read_bytes()).decode()
            image.attrs["src"] = f"data:{MIME[file.suffix]};base64,{data}"
            if place not in places:
                image.attrs["id"] = place
                places.append(place)
    return places


def _is_picture(folder: Path, path: str) -> bool:
    """True if a picture lies in the folder: a page that is sent shows nothing from elsewhere."""
    file = (folder / unquote(path)).resolve()
    return file.suffix in MIME and file.is_file() and file.is_relative_to(folder.resolve())
