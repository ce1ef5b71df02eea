"""The documentation's examples: commands are parsed, cheap ones and Python run."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from stsm_cli.analysis.ablation import ablation_names
from stsm_cli.cli.app import app, run
from stsm_cli.config.load import load_recipe, recipe_names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
COMMAND = typer.main.get_command(app)
CHEAP = re.compile(
    r"stsm (recipes|flops)\b|stsm (train|ablate) (?!.*--init).*--dry-run"  # no weights are here
    r"|stsm (eval|predict) .*runs/stsm( --crops|$)"
)


def python(page):
    """The blocks of Python of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def command_lines(page):
    """The lines of a page's indented blocks; behind `$` where a block shows output, too."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:^\n)((?: {4}.*\n|\n(?= {4}))+)", text, re.MULTILINE):
        lines = [line[4:] for line in block.splitlines()]
        if not lines[0].split()[0].endswith("/"):  # a tree of folders
            yield from [line[2:] for line in lines if line.startswith("$ ")] or lines


def commands(page):
    """The words of each command of a page."""
    for line in command_lines(page):
        for part in line.split(" && "):
            yield shlex.split(part, comments=True)


def parsed(words):
    """The context of a command line of `stsm`; a wrong word ends it."""
    command, words, name = COMMAND, list(words), "stsm"
    while words and words[0] in getattr(command, "commands", {}):
        command, name = command.commands[words[0]], f"{name} {words.pop(0)}"
    return command.make_context(name, words)


def ids(page):
    return page.relative_to(ROOT).as_posix()


def cheap_lines():
    return dict.fromkeys(
        shlex.join(words)
        for page in PAGES
        for words in commands(page)
        if CHEAP.match(" ".join(words))
    )


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_name_what_is_there(page):
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for words in commands(page):
        if words[0] == "pip":
            assert words[1] == "install"
            assert set(re.findall(r"[\w]+", words[2])) <= extras
        elif words[0] in ("pytest", "mkdocs"):
            assert words[1:] in ([], ["build"])
        else:
            check(words[words.index("stsm_cli") + 1 :] if words[0] == "torchrun" else words[1:])
            assert words[0] in ("stsm", "torchrun")


def check(words):
    """Parse a command line of `stsm`, and load the recipe that it names."""
    context = parsed(words)
    recipe, edits = context.params.get("recipe"), context.params.get("overrides") or []
    if context.info_name == "stsm ablate":
        assert context.params["name"] in (*ablation_names(), "all")
    elif context.info_name == "stsm train" and not str(recipe).endswith(".yaml"):
        load_recipe(recipe or "synth/stsm", edits)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_several_machines_meet_somewhere(page):
    lines = [line for line in page.read_text().splitlines() if "torchrun --nnodes" in line]
    assert [line for line in lines if "--rdzv-endpoint node0:29500" not in line] == []


def test_the_tour_trains_on_the_set_that_it_makes():
    lines = list(commands(DOCS / "tour.md"))
    (made,) = (words for words in lines if words[1:3] == ["prepare", "synth"])
    numbers = {
        f"data.synth.{name}={made[made.index(f'--{name}') + 1]}" for name in ("train", "val")
    }
    trained = [words for words in lines if words[1] == "train" and "--resume" not in words]
    assert len(trained) == 3
    assert all(numbers <= {*words} for words in trained)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "log.md"], ids=ids)
def test_commands_and_recipes_within_sentences_exist(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", prose):
        words = code.split()
        if words[0] == "stsm" and words[1:2] not in ([], ["COMMAND"]):
            exist(words[1:])
        if re.fullmatch(r"(k400|sthv2|ucf101|hmdb51|folder|synth|scenes|order)/\w+", code):
            assert code in recipe_names()


def exist(words):
    """Fail where a command's options, or the command, do not."""
    command = COMMAND
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert command is not COMMAND or words[0].startswith("-")
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if re.match("--?[a-z]", word)} <= {*known, "--help"}


@pytest.mark.parametrize("line", cheap_lines())
def test_what_is_cheap_runs(line, small_run, capsys):
    (small_run.path.parent / "stsm").symlink_to(small_run.path)
    assert run(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_the_cheap_lines_are_of_several_kinds():
    kinds = {line.split()[1] for line in cheap_lines()}
    assert kinds == {"recipes", "flops", "train", "ablate", "eval", "predict"}


@pytest.mark.parametrize("name", ["faq.md", "operator.md"])
def test_python_runs(name):
    blocks, names = python(DOCS / name), {}
    assert blocks
    for code in blocks:
        exec(compile(code, name, "exec"), names)


def test_no_python_is_left_out():
    pages = {page.name for page in PAGES if python(page)}
    assert pages == {"README.md", "faq.md", "operator.md", "real-data.md"}


def test_readme_s_python_prints_what_it_says(capsys):
    (code,) = python(ROOT / "README.md")
    exec(code.replace("224, 224", "32, 32"), {})
    said = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == said


def test_python_that_needs_files_imports_what_is_there():
    for code in python(DOCS / "real-data.md"):
        compile(code, "real-data.md", "exec")
        for module, names in re.findall(r"^from (\S+) import (.+)$", code, re.MULTILINE):
            assert all(hasattr(import_module(module), name) for name in names.split(", "))


@pytest.fixture(scope="module")
def hooks():
    sys.path.insert(0, str(DOCS))
    yield import_module("hooks")
    sys.path.remove(str(DOCS))


def test_the_page_of_commands_has_each_one(hooks):
    page = hooks.commands_page()
    for words in (["train"], ["prepare", "k400"], ["recipes", "show"], ["bench", "shift"]):
        assert f"\n## stsm {' '.join(words)}\n\n```text\nUsage: stsm {' '.join(words)}" in page
    assert "-h, --help" in page
    helps = [line for line in page.split("\n## stsm\n")[1].splitlines() if line[:1] != "#"]
    assert max(map(len, helps)) <= 80  # wider ones would have to be scrolled


def test_the_recipe_s_page_says_range_default_and_meaning(hooks):
    page = hooks.recipe_page()
    lr = "| `lr` | number, above 0, at most 1,000 | must be given | Peak learning rate at"
    assert lr in page.split("\n## optim\n")[1]
    assert "| `clips` | `1`, `2`, `10` | `1` |" in page.split("\n## test\n")[1]
    assert "| `shift` | [section](#modelshift) or `null` | `null` |" in page
    assert "| `test` | [section](#test) | that of its keys |" in page
    assert "| `frames` | integer, at least 16, at most 4,096 | `128` |" in page
    assert not re.search("at least [^|]*above", page)  # the narrower bound alone
    assert "\n## model.shift\n" in page


def test_every_key_of_a_recipe_is_explained(hooks):
    rows = re.findall(r"^\| (`.*) \|$", hooks.recipe_page(), re.MULTILINE)
    assert len(rows) > 60
    silent = [row for row in rows if row.endswith("|") or row.endswith("| ")]
    assert [row for row in silent if "[section]" not in row] == []


@pytest.mark.parametrize(
    ("uri", "folder", "link", "moved"),
    [
        ("faq.md", "docs", "../results/README.md#a", "results/README.md#a"),
        ("faq.md", "docs", "tour.md", "tour.md"),
        ("results/README.md", "", "../docs/log.md", "../log.md"),
        ("results/README.md", "", "audit.md", "audit.md"),
        ("CHANGELOG.md", "", "docs/plan.md", "plan.md"),
        ("faq.md", "docs", "notebook/shift.ipynb", "notebook/shift.md"),
        ("faq.md", "docs", "https://a.org/b", "https://a.org/b"),
        ("faq.md", "docs", "#here", "#here"),
    ],
)
def test_links_are_those_of_the_site(hooks, uri, folder, link, moved):
    assert hooks.relinked(f"[a]({link})", uri, folder) == f"[a]({moved})"


@pytest.mark.parametrize(
    ("tag", "url"),
    [
        ('<link rel="stylesheet" href="{}">', "https://a.org/b.css"),
        ('<script src="{}"></script>', "http://a.org/b.js"),
    ],
)
def test_a_page_that_loads_something_from_elsewhere_is_refused(hooks, tag, url):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="faq.md"))
    with pytest.raises(ValueError, match=re.escape(f"faq.md loads {url}")):
        hooks.on_post_page(tag.format(url), page, config=None)
    local = tag.format("assets/b") + f'<a href="{url}">b</a>'
    assert hooks.on_post_page(local, page, config=None) == local
