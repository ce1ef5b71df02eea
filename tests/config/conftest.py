"""Recipes that are written and read, and what is wrong with them."""

from pathlib import Path

import pytest

from stsm_cli.config.load import load_recipe
from stsm_cli.errors import RecipeError


@pytest.fixture(scope="session")
def write():
    """write(name, text) makes a file, and gives its name."""

    def write(name, text):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return name

    return write


@pytest.fixture(scope="session")
def problems():
    """problems(*arguments): the lines and hints of the error that loading ends with."""

    def problems(*arguments):
        with pytest.raises(RecipeError) as caught:
            load_recipe(*arguments)
        return str(caught.value).splitlines(), (caught.value.hint or "").splitlines()

    return problems
