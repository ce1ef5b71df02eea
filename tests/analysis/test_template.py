import pytest
from jinja2 import UndefinedError

from stsm_cli.analysis.template import fill


def test_a_value_that_is_not_there_is_named():
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        fill("page.html", chapters=[])


def test_html_is_escaped():
    assert "<title>1 &lt; 2 &amp; 3</title>" in fill("page.html", title="1 < 2 & 3", chapters=[])


def test_markdown_stands_as_it_is():
    values = dict.fromkeys(("label", "epochs", "contrasts", "missing", "command"), "")
    assert "\n1 < 2 & 3\n" in fill("shift_in_3d.md", table="1 < 2 & 3", **values)
