import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.font_manager import findfont, fontManager, get_font

from stsm_cli.analysis.figure_confusion import confusion_figure
from stsm_cli.analysis.figure_curves import curves_figure
from stsm_cli.analysis.figure_settings import networks_figure, settings_figure
from stsm_cli.analysis.figures import FONT, METHODS, encode, fonts_for
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.summary import by_network

DATA = matplotlib.get_data_path()


@pytest.mark.parametrize(
    ("name", "kind"), [("alpha", "svg"), ("alpha", "png"), ("backbones-sthv2", "svg")]
)
def test_the_same_records_give_the_same_bytes(prepared, name, kind):
    rows, group = prepared(name, lambda run: 60)

    def settings():
        if name == "alpha":
            return settings_figure(rows, group)
        return networks_figure(rows, group, load_paper_table(7))

    for draw in (settings, lambda: curves_figure(rows, group)):
        first, second = (encode(draw(), kind) for _ in range(2))
        assert first == second
        assert not re.search(rb"<dc:date>|Matplotlib v|Software", first)


@pytest.mark.parametrize("name", ["sota-k400", "sota-sthv2", "backbones-k400", "backbones-sthv2"])
def test_every_row_of_several_networks_is_one_of_the_methods(prepared, name):
    rows, _ = prepared(name, lambda run: 60)
    assert {row.method for row in rows} == set(METHODS)
    assert sum(len(of_network) for of_network in by_network(rows).values()) == len(rows)


@pytest.fixture
def bundled_fonts(monkeypatch):
    """The fonts that come with matplotlib, and no others of this machine."""
    fonts = [font for font in fontManager.ttflist if Path(font.fname).is_relative_to(DATA)]
    monkeypatch.setattr("stsm_cli.analysis.figures.fontManager", SimpleNamespace(ttflist=fonts))


def test_letters_that_the_font_lacks_are_of_another_or_told(bundled_fonts):
    assert fonts_for("naïve Ж\n") == (["DejaVu Sans"], "")
    assert fonts_for("日本 a") == (["DejaVu Sans"], "日本")
    stix, ours = (get_font(findfont(name)).get_charmap() for name in ("STIXGeneral", FONT))
    letter = next(chr(code) for code in stix if code not in ours and chr(code).isprintable())
    fonts, missing = fonts_for(f"{letter}日")
    assert (fonts[0], len(fonts), missing) == ("DejaVu Sans", 2, "日")


def test_a_letter_of_no_font_is_drawn_without_a_warning_of_matplotlib(bundled_fonts, recwarn):
    matrix = np.eye(2, dtype=np.int64)
    figure = confusion_figure(matrix, ["日本", "b"], title="t", subtitle="s")
    assert encode(figure, "png")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_a_font_that_is_gone_lacks_everything_and_each_script_has_its_own(monkeypatch):
    names = ("DejaVu Sans", "DejaVu Sans Mono", "STIXGeneral", "cmsy10")
    lacks = {"DejaVu Sans": "日ก", "DejaVu Sans Mono": "ก", "STIXGeneral": "日", "cmsy10": "日ก"}
    fonts = [SimpleNamespace(name=name, fname=name) for name in ("gone", *names)]

    def opened(name):
        if name == "gone":
            raise FileNotFoundError(name)
        return SimpleNamespace(get_char_index=lambda code: chr(code) not in lacks[name])

    module = "stsm_cli.analysis.figures"
    monkeypatch.setattr(f"{module}.fontManager", SimpleNamespace(ttflist=fonts))
    monkeypatch.setattr(f"{module}.findfont", lambda name: name)
    monkeypatch.setattr(f"{module}.get_font", opened)
    assert fonts_for("a日ก") == (["DejaVu Sans", "DejaVu Sans Mono", "STIXGeneral"], "")
    lacks["STIXGeneral"] = "日ก"
    assert fonts_for("a日ก") == (["DejaVu Sans", "DejaVu Sans Mono"], "ก")
