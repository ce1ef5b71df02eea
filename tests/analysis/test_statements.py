"""How statements become findings; what each of them must say stands in test_audit.py."""

import shutil
from pathlib import Path

import pytest
import yaml

from stsm_cli.analysis import finding, paper, paper_cost, statements
from stsm_cli.analysis.audit_order import printed_order
from stsm_cli.analysis.statements import evaluate, findings, load_section, note_of, section_files
from stsm_cli.data import catalog
from stsm_cli.errors import RecipeError
from stsm_cli.resources import resource_dir

PLACES = {
    statement.id: (path, number)
    for path in section_files()
    for number, statement in enumerate(load_section(path).statements)
}
STSM_4 = 'params: 24.3M, top1: "75.0", source: STSM'

# Statement: files below datasets/, what stands there in another world, and the verdict in it.
TURNS = [
    ("any-backbone", "paper/table4", {"STSM+TSN, backbone: 2D": "STSM+TSN, backbone: 3D"}, "holds"),
    (
        "whole-slices",
        "paper/table1",
        {'"1/8"': '"3/32"', '"1/4"': '"3/16"', '"1/2"': '"9/16"', '"1"': '"15/16"'},
        "holds",
    ),
    ("video-counts", "k400", {"present: 240258": "present: 250258"}, "does not hold"),
    ("learning-rate", "paper/elsewhere", {"0.01 at 64": "0.02 at 64"}, "open"),
    ("weight-decay", "paper/elsewhere", {'"5e-4"': '"1e-4"', '"2e-5"': '"1e-4"'}, "holds"),
    ("frames-a-video", "paper/table5 paper/table7", {'frames: "16"': 'frames: "4"'}, "holds"),
    (
        "mirrors",
        "sthv2",
        {"mirror_": "other_", "reverse_pairs": "mirror_pairs: []\nreverse_pairs"},
        "holds",
    ),
    ("training-crops", "paper/elsewhere", {"13 positions": "5 positions"}, "holds"),
    ("views", "paper/table5", {"33×3×2": "33×3×1"}, "holds"),
    ("tsm-of-mmaction2", "paper/table2", {"74.43": "74.55"}, "holds"),
    ("one-run-each", "paper/table1", {"74.81": "73.1", "74.77": "73.2"}, "holds"),
    ("two-baselines", "paper/table1", {"72.16": "70.6"}, "holds"),
    ("two-baselines", "paper/table1", {"72.16": "70.5"}, "contradiction"),
    ("gain-in-space", "paper/table2", {"72.25": "72.15"}, "does not hold"),
    ("gain-in-space", "paper/table1", {"72.16": "70.6"}, "holds"),
    ("choice-in-space", "paper/table2", {"72.53": "72.66"}, "holds"),
    ("over-the-published-tsm", "paper/table3", {'"74.5"': '"74.6"'}, "holds"),
    ("over-the-published-tsm", "paper/table3", {'"74.5"': '"74.4"'}, "does not hold"),
    ("two-starts", "paper/table3", {"75.04": "75.14"}, "open"),
    ("state-of-the-art", "paper/table4 paper/table5", {"75.9": "76.9", "63.5": "64.5"}, "holds"),
    ("trade-off", "paper/table5", {"58.7": "61.7"}, "does not hold"),
    ("above-tpn", "paper/table4", {"73.5": "73.6"}, "does not hold"),
    ("above-2d-networks", "paper/table4", {STSM_4: STSM_4.replace("75.0", "77.0")}, "holds"),
    ("tsm-above-tsn", "paper/table4", {"74.1": "74.2"}, "does not hold"),
    ("stsm-above-tsn", "paper/table4", {STSM_4: STSM_4.replace("75.0", "75.1")}, "does not hold"),
    ("more-than-tsm", "paper/table4", {"74.1": "74.2"}, "holds"),  # 4.4/3.6 = 1.222
    ("which-tsm-k400", "paper/table4", {"74.1": "74.5"}, "holds"),
    ("mobilenet-k400", "paper/table4", {"69.9": "70.9"}, "holds"),
    ("mobilenet-k400", "paper/table4", {"69.9": "69.8"}, "does not hold"),
    ("mobilenet-k400", "paper/table4", {"69.9": "70.9", "69.5": "71.5"}, "inexact"),
    ("more-competitive", "paper/table5", {"61.3": "62.5"}, "holds"),  # 1.5 below, not 1.6
    ("second-in-3d", "paper/table5", {"62.7": "61.0"}, "holds"),
    ("cheaper-than-action-net", "paper/table5", {"34.75×3×2": "32.75×3×2"}, "does not hold"),
    ("second-in-2d", "paper/table5", {"60.1": "61.4"}, "does not hold"),
    ("above-mg-tsm", "paper/table5", {"60.1": "60.2"}, "does not hold"),
    ("which-tsm-sthv2", "paper/table7", {"59.1": "58.0", "63.4": "61.0"}, "holds"),
    ("above-tsm", "paper/table7", {"59.1": "61.4"}, "does not hold"),
    ("tsm-at-3x2", "paper/table5", {"61.3": "61.9"}, "holds"),
    ("same-cost", "paper/table5", {"65×3×2": "33×3×2"}, "holds"),
    ("layers-of-r2plus1d", "paper/table4", {"63.6M": "53.9M"}, "holds"),
    ("frames-of-r2plus1d", "paper/table4", {"152×115": "76×115"}, "holds"),
    ("split-of-i3d", "paper/table4", {'"71.1"': '"71.2"'}, "open"),
    ("pretraining-of-slowfast", "paper/table4", {"72.6": "73.3"}, "holds"),
    ("dimensions-of-tpn", "paper/table4", {'[36]", backbone: 3D': '[36]", backbone: 2D'}, "holds"),
    ("dimensions-of-trn", "paper/table5", {"3D BNInception": "2D BNInception"}, "holds"),
    (
        "dimensions-of-action-net",
        "paper/table5",
        {'[33]", backbone: 3D': '[33]", backbone: 2D'},
        "holds",
    ),
    ("trn-twice", "paper/table5", {'source: "[40]"': 'source: "[39]"'}, "holds"),
    ("views-of-tdn", "paper/table5", {"36×3×2": "36×1×1"}, "holds"),
    ("slowfast-twice", "paper/table5", {"132.8": "36.1"}, "holds"),
    ("smallbignet-twice", "paper/table5", {"52×3×2": "57×3×2"}, "holds"),
    ("two-streams", "paper/table4", {"127.2M": "127.3M"}, "does not hold"),
    ("in-two-tables", "paper/table7", {"57.8": "58.7"}, "holds"),
    ("tsm-with-non-local", "paper/table4", {"75.7": "75.6"}, "holds"),
    ("unit", "paper/table4", {"33×3×10": "65×3×10"}, "holds"),
    ("test-of-resnet", "paper/table4", {"33×3×10": "43×3×10"}, "holds"),
    ("test-of-mobilenet", "paper/table4", {"2.55×3×10": "3.13×3×10"}, "holds"),
    ("sixteen-frames", "paper/table5", {"65×3×2": "66×3×2"}, "does not hold"),
    ("mobilenet-counter", "paper/table4", {"2.55×3×10": "2.40×3×10"}, "holds"),
    ("cost-of-non-local", "paper/table4", {'flops: "-"': "flops: 61×3×10"}, "holds"),
    ("params-of-resnet", "paper/table5", {"24.3M": "23.9M"}, "holds"),
    ("params-of-mobilenet", "paper/table4", {"2.33M": "2.74M"}, "does not hold"),
    (
        "params-of-mobilenet",
        "paper/table4 paper/table5",
        {
            "2.55×3×10, params: 2.33M": "2.55×3×10, params: 2.74M",
            "×3×2, params: 2.33M": "×3×2, params: 2.45M",
        },
        "holds",
    ),
    # what fits nothing that is counted or cited
    ("which-tsm-k400", "paper/table4", {STSM_4: STSM_4.replace("75.0", "70.0")}, "does not hold"),
    ("which-tsm-k400", "paper/table4", {"74.1": "75.0"}, "does not hold"),
    ("which-tsm-sthv2", "paper/table5", {"58.7": "70.0", "61.2": "74.6"}, "does not hold"),
    ("which-tsm-sthv2", "paper/table7", {"63.4": "63.5"}, "does not hold"),
    ("layers-of-r2plus1d", "paper/table4", {"63.6M": "1M"}, "does not hold"),
    ("frames-of-r2plus1d", "paper/table4", {"152×115": "1×115"}, "does not hold"),
    ("unit", "paper/table4", {"33×3×10": "500×3×10"}, "does not hold"),
    ("test-of-resnet", "paper/table4", {"33×3×10": "500×3×10"}, "does not hold"),
    ("params-of-trn", "paper/table5", {"params: 18.3M": "params: 13.1M"}, "holds"),
    (
        "crops-of-the-column",
        "paper/table4 paper/table5",
        {"counted_px: 112": "counted_px: 224", "counted_px: 256": "counted_px: 224"},
        "holds",
    ),
    ("slowfast-twice", "paper/table5", {"132.8": "99.8"}, "contradiction"),
    ("test-of-mobilenet", "paper/table4", {"2.55×3×10": "500×3×10"}, "does not hold"),
    ("mobilenet-counter", "paper/table4", {"2.55×3×10": "9.99×3×10"}, "does not hold"),
    ("cost-of-non-local", "paper/table4", {'flops: "-"': "flops: 5×3×10"}, "does not hold"),
]
OF_THE_SHIFT = {"free", "separately", "example-of-64", "alpha-in-mobilenet", "share-of-time"}
OF_QUOTES = {"misprint"}


@pytest.fixture
def change(tmp_path, monkeypatch):
    """Set other values into a copy of files below datasets/."""
    caches = (paper.load_paper_table, paper_cost.paper_costs, finding.known_facts)

    def do(files, values):
        folder = shutil.copytree(resource_dir("datasets"), tmp_path / "datasets")
        paths = [folder / f"{name}.yaml" for name in files.split()]
        for old, new in values.items():
            texts = {path: path.read_text() for path in paths}
            assert any(old in text for text in texts.values())
            for path, text in texts.items():
                path.write_text(text.replace(old, new))
        for module in (paper, finding, catalog):
            monkeypatch.setattr(module, "resource_dir", lambda name: tmp_path / name)
        for cache in caches:
            cache.cache_clear()

    yield do
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(scope="module")
def as_printed():
    """The findings from the data as they are, by name: what they read is read once."""
    return {name: evaluate(*PLACES[name]) for name in {name for name, *_ in TURNS}}


@pytest.fixture
def write(tmp_path):
    """A section with one statement; given keys replace what would be right."""

    def do(**keys):
        verdict = [
            {"when": "gain > 0", "kind": "holds", "because": "by {gain}"},
            {"kind": "open", "because": "it is not {gain:+}"},
        ]
        statement = {
            "id": "gain",
            "where": "Table 1",
            "claim": "it is better",
            "values": {"gain": 'top1(1, "3/8") - top1(1, "0")'},
            "computed": "{gain} points",
            "verdict": verdict,
        }
        path = tmp_path / "section.yaml"
        content = {"heading": "A section", "statements": [{**statement, **keys}]}
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        return path

    return do


@pytest.mark.parametrize(("name", "files", "values", "kind"), TURNS)
def test_a_verdict_follows_the_data(as_printed, change, name, files, values, kind):
    before = as_printed[name]
    change(files, values)
    after = evaluate(*PLACES[name])
    assert after.kind == kind
    assert (after.kind, after.because) != (before.kind, before.because)


def test_an_order_follows_the_data(change):
    change("paper/table1", {"74.77": "74.60"})  # of 1/4, below 1/8
    rises, falls, *_ = printed_order()
    assert (rises.kind, falls.kind) == ("inexact", "holds")
    assert rises.computed == "true of 2 of 3 pairs; the least is 1/4 against 1/8: -0.02 points"


def test_every_verdict_from_data_is_shown_to_follow_it():
    read = {name for name, (path, n) in PLACES.items() if load_section(path).statements[n].read}
    assert {name for name, *_ in TURNS} == set(PLACES) - read - OF_THE_SHIFT - OF_QUOTES


@pytest.mark.parametrize("name", PLACES)
def test_every_case_can_be_told(monkeypatch, name):
    """Also those that are not so."""
    path, number = PLACES[name]
    section = load_section(path)
    statement = section.statements[number]
    for case in statement.verdict:
        told = case.model_copy(
            update={"because": f"{case.because}{{not ({case.when})}}", "when": None}
        )
        changed = statement.model_copy(update={"verdict": (told,)})
        replaced = (*section.statements[:number], changed, *section.statements[number + 1 :])
        other = section.model_copy(update={"statements": replaced})
        monkeypatch.setattr(statements, "load_section", lambda _, other=other: other)
        shown = evaluate(path, number)
        assert shown.kind == case.kind
        assert shown.because.endswith(("True", "False"))


def test_ids_name_one_statement_in_all_sections():
    assert len(PLACES) == sum(len(load_section(path).statements) for path in section_files()) == 66


def test_texts_hold_values(write):
    (found,) = findings(write(printed="α: {gain:.1f}"))
    assert (found.printed, found.computed) == ("α: 2.9", "2.88 points")
    assert (found.kind, found.because, found.is_read) == ("holds", "by 2.88", False)


def test_quotes_are_printed_unless_something_else_is(write):
    (found,) = findings(write(quotes=["x^{-3}", "it’s"]))
    assert found.printed == "“x^{-3}”, “it’s”"


def test_facts_are_values_and_name_their_source(write):
    (found,) = findings(write(facts=["mit_tsm_nl"], computed="{number(mit_tsm_nl) + 1}"))
    assert found.computed == "76.6"
    assert found.sources == ("mit-han-lab/temporal-shift-module README.md",)


def test_a_note_is_a_text(tmp_path):
    path = tmp_path / "section.yaml"
    path.write_text("heading: A section\nnote: at {train_px}²\n")
    assert note_of(path) == "at 224²"
    path.write_text("heading: Another\nnote: at {px}²\n")
    load_section.cache_clear()
    with pytest.raises(
        RecipeError, match=r"section.yaml:2: the section: note: NameNotDefined: 'px'"
    ):
        note_of(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"values": {"gain": "nobody + 1"}}, r":7: gain: values.gain: NameNotDefined: 'nobody'"),
        ({"values": {"gain": "open('x')"}}, r":7: gain: values.gain: FunctionNotDefined: .*'open'"),
        ({"values": {"gain": "(lambda: 1)()"}}, r"FeatureNotAvailable: .*Lambda"),
        ({"values": {"gain": "().__class__"}}, r"FeatureNotAvailable: .*\(__class__\)"),
        ({"values": {"gain": "1 = 1"}}, r":7: gain: values.gain: SyntaxError: invalid syntax"),
        ({"values": {"gain": "x = 1"}}, r":7: gain: values.gain: SyntaxError: invalid syntax"),
        ({"values": {"gain": "import os"}}, r"SyntaxError: invalid syntax"),
        ({"values": {"gain": 'top1(1, "7/8")'}}, r":7: gain: values.gain: KeyError: '7/8'"),
        ({"values": {"gain": "rows(1, alpha=1)"}}, r"AttributeError: .*'alpha'"),
        ({"values": {"gain": "number(quotes[0])"}}, r"IndexError: tuple index out of range"),
        ({"values": {"gain": "top1(1, '0') / 0"}}, r"ZeroDivision|DivisionByZero"),
        ({"values": {"gain": "top1(1, '0') - 1.5"}}, r"TypeError: .*'decimal.Decimal' and 'float'"),
        ({"values": {"gain": "load_card('nobody')"}}, r"DataError: no data set 'nobody'"),
        ({"claim": "{better}"}, r":5: gain: claim: NameNotDefined: 'better'"),
        ({"printed": "{"}, r"gain: printed: SyntaxError: "),
        ({"computed": "{gain:q}"}, r":8: gain: computed: (ValueError|TypeError): .*format"),
    ],
)
def test_a_wrong_formula_is_named_with_its_line(write, keys, message):
    with pytest.raises(RecipeError, match=message) as raised:
        findings(write(**keys))
    assert "\n" not in str(raised.value)
    assert f"{Path('section.yaml')}:" in str(raised.value)


def test_a_wrong_condition_and_a_wrong_reason_are_named(write):
    last = {"kind": "open", "because": "it is not {much}"}
    path = write(verdict=[{"when": "much > 0", "kind": "holds", "because": "so"}, last])
    with pytest.raises(RecipeError, match=r":10: gain: verdict.0.when: NameNotDefined: 'much'"):
        findings(path)
    load_section.cache_clear()
    path = write(verdict=[{"when": "gain < 0", "kind": "holds", "because": "so"}, last])
    with pytest.raises(RecipeError, match=r":14: gain: verdict.1.because: NameNotDefined: 'much'"):
        findings(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"verdict": [{"kind": "open", "because": "so"}]},
            "must say `read: true`, and no other may",
        ),
        ({"read": True}, "must say `read: true`, and no other may"),
        ({"verdict": []}, r"verdict: .*at least 1 item"),
        (
            {"verdict": [{"kind": "open", "because": text} for text in "ab"]},
            "case but the last must have `when`",
        ),
        (
            {"verdict": [{"kind": "open", "because": "a", "when": text} for text in "12"]},
            "and the last must not",
        ),
        (
            {"verdict": [{"kind": "true", "because": "so"}]},
            r"kind: Input should be 'holds', .*\"true\"",
        ),
        (
            {"facts": ["mit_tsm_nl", "nobody"]},
            ":15: .*facts: .*`elsewhere.yaml` has no fact nobody",
        ),
        ({"verdicts": 1}, "verdicts: Extra inputs are not permitted"),
    ],
)
def test_a_statement_is_checked(write, keys, message):
    with pytest.raises(RecipeError, match=message) as raised:
        findings(write(**keys))
    assert "section.yaml:" in str(raised.value)


def test_two_statements_of_one_name(write):
    path = write()
    text = path.read_text()
    path.write_text(text + text[text.index("- id") :])
    with pytest.raises(RecipeError, match="two statements are gain"):
        findings(path)
