"""The page of results: read as text, and opened in a browser where there is one."""

import base64
import json
import os
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from stsm_cli.analysis.contact_sheet import Picture, SheetChapter, Strip, sheet_html
from stsm_cli.analysis.page import is_our_page, page_html, write_page

RESULTS = Path(__file__).parents[2] / "results"
# Chrome first: where Ubuntu has Chromium, it cannot see temporary folders.
BROWSERS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "msedge")
BROWSER_SECONDS = 60
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="9"><g id="a"/></svg>'
README = """\
# Results

[Table 1](table1.md), [finding](audit.md#2), [Figure 1](figure1.svg), [PNG](figure1.png),
[Figure 4](figure4.svg), [curve](table1.svg), [record](records/a.json), [gone](gone.md),
[no finding](audit.md#9), [elsewhere](https://example.org/audit.md), <script>alert("&amp;")</script>
"""
TABLE = """\
# Table 1: α < 1 & more

| setting | top-1 |
| --- | --- |
| <b>bold</b> | **75.04** |
| `</table>` | a cell so long that it may well be broken into lines |

![accuracy by "α"](table1.svg)

![once more](table1.svg)

![not drawn](table9.svg) ![far away](https://example.org/table9.svg)
"""
AUDIT = """\
# The audit

[second](#2), [table1.md](table1.md)

<a id="2"></a>
## 2. A finding

- Verdict: **holds**
"""
# Only a copy of the page has a script, and a policy that allows one.
PROBE = """\
<pre id="probe"></pre>
<script>
onload = () => document.getElementById("probe").textContent = JSON.stringify({
  images: [...document.images].map(image => image.naturalWidth),
  shown: [...document.images].map(image => image.width),
  widths: [document.documentElement.scrollWidth, innerWidth],
});
</script>
</body>"""


class Page(HTMLParser):
    """Elements with their attributes and texts; fails where a tag is closed that is not open."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in ("meta", "link", "img"):
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag):
        return [(attrs, text) for name, attrs, text in self.elements if name == tag]

    def ids(self):
        return [attrs["id"] for _, attrs, _ in self.elements if "id" in attrs]


@pytest.fixture
def files(tmp_path):
    """The Markdown files of a small report, its pictures beside them."""
    for width, name in enumerate(("figure1", "figure4", "table1"), 7):
        (tmp_path / f"{name}.svg").write_text(SVG.format(width=width))
    (tmp_path / "figure1.png").write_bytes(b"")
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text("{}")
    texts = {"README.md": README, "table1.md": TABLE, "audit.md": AUDIT}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return [tmp_path / name for name in texts]


@pytest.fixture
def committed():
    """The project's own results."""
    return [RESULTS / "README.md", *sorted(RESULTS.glob("table*.md")), RESULTS / "audit.md"]


@pytest.fixture
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        assert os.environ.get("STSM_REQUIRE_BROWSER") != "1", "STSM_REQUIRE_BROWSER=1, but none"
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)}")
    return found


def test_links_lead_to_places_on_the_page_or_become_text(files):
    links = {text: attrs.get("href") for attrs, text in Page(page_html(files)).all("a")}
    assert links == {
        "Results": "#README",
        "Figures": "#figures",
        "Table 1 α < 1 & more": "#table1",
        "The audit": "#audit",
        "Table 1": "#table1",  # in the audit too, where it reads table1.md
        "finding": "#audit-2",
        "second": "#audit-2",
        "Figure 1": "#picture-figure1",
        "PNG": "#picture-figure1",
        "Figure 4": "#picture-figure4",
        "curve": "#picture-table1",
        "elsewhere": "https://example.org/audit.md",
        "record": None,
        "gone": None,
        "no finding": None,
    }


def test_files_become_chapters_in_order_with_their_headings_a_level_lower(files):
    page = Page(page_html(files))
    chapters = [attrs["id"] for attrs, _ in page.all("section")]
    assert chapters == ["README", "figures", "table1", "audit"]
    assert len(page.all("h1")) == 1
    titles = ["Results", "Figures", "Table 1: α < 1 & more", "The audit"]
    assert [text for _, text in page.all("h2")] == titles
    finding = ({"id": "audit-2"}, "2. A finding")
    assert page.all("h3") == [({}, "Figure 1"), ({}, "Figure 4"), finding]


def test_pictures_stand_in_the_page_and_linked_ones_in_a_chapter_of_their_own(files):
    images = [attrs for attrs, _ in Page(page_html(files)).all("img")]
    assert [(image["alt"], image.get("id")) for image in images] == [
        ("Figure 1", "picture-figure1"),
        ("Figure 4", "picture-figure4"),
        ('accuracy by "α"', "picture-table1"),
        ("once more", None),
    ]
    for image, name in zip(images, ("figure1", "figure4", "table1", "table1"), strict=True):
        kind, data = image["src"].split(",")
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(data) == (files[0].parent / f"{name}.svg").read_bytes()


def test_a_page_without_linked_pictures_has_no_chapter_of_them(files):
    assert "figures" not in Page(page_html(files[1:])).ids()


def test_nothing_from_outside_the_folder_is_shown(files, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.svg"
    secret.write_text(SVG.format(width=3))
    outside = os.path.relpath(secret, files[0].parent)
    files[1].write_text(f"# Table\n\n![one]({secret}) ![two]({outside}) [three]({outside})\n")
    assert not Page(page_html(files[1:2])).all("img")


def test_a_name_for_a_heading_that_does_not_follow_is_text(files):
    files[1].write_text('# Table\n\n<a id="9"></a>\n')
    assert "9" not in "".join(Page(page_html(files[1:2])).ids())


def test_pictures_of_any_name_are_shown_and_none_is_its_text(files):
    folder = files[0].parent
    for name in ("größe.svg", "my picture.svg"):
        (folder / name).write_text(SVG.format(width=5))
    files[1].write_text("# Table\n\n![a](größe.svg) ![b](<my picture.svg>) ![to do]() ![here](.)\n")
    page = Page(page_html(files[1:2]))
    assert [attrs["alt"] for attrs, _ in page.all("img")] == ["a", "b"]
    assert page.all("p")[-1][1].endswith("to do here")


def test_a_page_of_another_hand_is_not_ours(files):
    folder = files[0].parent
    assert is_our_page(folder)
    write_page(folder, files)
    assert is_our_page(folder)
    (folder / "index.html").write_text("<!DOCTYPE html>\n<title>My site</title>\n")
    assert not is_our_page(folder)


def test_a_picture_that_is_not_there_is_its_text(files):
    assert "<p>not drawn far away</p>" in page_html(files)


def test_html_in_the_files_is_shown_as_it_stands(files):
    html = page_html(files)
    assert "<script" not in html
    page = Page(html)
    assert ', <script>alert("&")</script>' in page.all("section")[0][1]
    cells = [({"class": "short"}, "<b>bold</b>"), ({"class": "short"}, "75.04")]
    assert page.all("td")[:3] == [*cells, ({"class": "short"}, "</table>")]
    assert page.all("td")[3][0] == {}


def test_nothing_is_asked_for_over_the_network(files):
    html = page_html(files)
    page = Page(html)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert policy in [attrs.get("content") for attrs, _ in page.all("meta")]
    for tag, attrs, _ in page.elements:
        if tag != "a":
            values = [value for key, value in attrs.items() if key in ("src", "href")]
            assert all(value.startswith("data:") for value in values)
    assert not {tag for tag, _, _ in page.elements} & {"script", "iframe", "object", "embed"}
    assert re.findall(r"url\(|@import", html) == []


def test_the_same_files_give_the_same_bytes(files, tmp_path):
    path = write_page(tmp_path, files)
    assert path == tmp_path / "index.html"
    before = path.read_bytes()
    assert write_page(tmp_path, files).read_bytes() == before


def test_the_committed_results_hang_together(committed):
    html = page_html(committed)
    page = Page(html)
    assert len(page.ids()) == len(set(page.ids()))
    links = [attrs["href"] for attrs, _ in page.all("a") if "href" in attrs]
    inner = {link[1:] for link in links if link.startswith("#")}
    assert inner <= set(page.ids())
    assert {link for link in links if not link.startswith("#")} == set()
    shown = re.findall(r"!\[", "".join(file.read_text() for file in committed))
    assert len(page.all("img")) >= len(shown) > 0
    assert '<a id="' not in unescape(html)


@pytest.mark.parametrize("width", [1600, 500])  # headless windows are no narrower
def test_a_browser_shows_it_all(committed, browser, tmp_path, width):
    html = page_html(committed)
    seen, found = probe(browser, tmp_path, html, width)
    for tag in ("h1", "h2", "h3", "h4", "th", "td", "li"):
        assert seen.all(tag) == Page(html).all(tag)
    assert len(found["images"]) == len(Page(html).all("img"))
    assert min(found["images"]) > 100
    assert found["widths"] == [width, width]


@pytest.mark.parametrize("width", [1600, 500])
def test_a_browser_shows_frames_as_large_as_they_are(browser, tmp_path, width):
    frames = Strip("frames", [Picture(np.zeros((32, 32, 3), np.uint8))] * 8)
    html = sheet_html("a look", [SheetChapter("one", "One", [frames])])
    _, found = probe(browser, tmp_path, html, width)
    assert found["shown"] == [96] * 8
    assert found["widths"] == [width, width]


def test_a_browser_takes_its_picture(committed, browser, tmp_path):
    page, picture = write_page(tmp_path, committed), tmp_path / "page.png"
    browse(browser, tmp_path, "--window-size=800,600", f"--screenshot={picture}", page.as_uri())
    assert picture.read_bytes()[16:24] == bytes([0, 0, 3, 32, 0, 0, 2, 88])  # PNG: 800 × 600


def probe(browser, folder, html, width):
    """The page as a browser of that width has it, and what is measured of it there."""
    copy = folder / "probed.html"
    probed = html.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    copy.write_text(probed.replace("</body>", PROBE), encoding="utf-8")
    seen = Page(browse(browser, folder, f"--window-size={width},900", "--dump-dom", copy.as_uri()))
    (told,) = [text for attrs, text in seen.all("pre") if attrs.get("id") == "probe"]
    return seen, json.loads(told)


def browse(browser, folder, *arguments):
    """What the browser prints; as root it does not run in a sandbox."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command = [browser, *flags, f"--user-data-dir={folder / 'profile'}", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BROWSER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{browser}: nothing in {BROWSER_SECONDS} s: {error.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stdout
