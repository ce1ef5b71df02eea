import json
from pathlib import Path

import pytest

from stsm_cli.config.load import load_recipe
from stsm_cli.engine.card import card_mirror, card_recipe, flow_reading, make_card, read_card
from stsm_cli.engine.trained import trained
from stsm_cli.errors import CheckpointError
from stsm_cli.stored import wilson_interval


@pytest.fixture
def card_of(small_run, said):
    """card_of(crops, sha): the card of `runs/small`, whose weights are known as `sha`."""

    def card_of(crops=1, sha="ab"):
        said.lines.clear()
        subject = trained("runs/small", None).under(crops=crops)
        card = make_card(
            subject,
            small_run.classes(),
            sha,
            takes="videos",
            gives="logits",
            with_preprocessing=False,
            mirror=subject.mirror,
            progress=said,
        )
        return card, said.lines

    return card_of


def result(protocol, correct, sha):
    low, high = (100 * bound for bound in wilson_interval(correct, 20))
    top1 = 5.0 * correct
    return {
        "name": "synth/stsm",
        "protocol": protocol,
        "recipe_hash": "0",
        "num_videos": 20,
        "num_listed": 20,
        "correct": correct,
        "top1": top1,
        "top1_interval": [low, high],
        "top5": 100.0,
        "mean_class": top1,
        "pair_accuracy": None,
        "broken": [],
        "seconds_eval": 1.0,
        "weights_sha256": sha,
    }


def test_accuracy_is_of_the_same_weights_and_rather_of_the_same_protocol(card_of, small_run):
    small_run.result_file.write_text(json.dumps(result("synth-1x1@28", 4, "ab")))
    (small_run.path / "eval-synth-1x3@28.json").write_text(
        json.dumps(result("synth-1x3@28", 6, "ab"))
    )
    (small_run.path / "eval-best-synth-1x3@28.json").write_text(
        json.dumps(result("synth-1x3@28", 8, "cd"))
    )
    for crops, sha, top1, protocol in [
        (1, "ab", 20.0, "synth-1x1@28"),
        (3, "ab", 30.0, "synth-1x3@28"),
        (3, "cd", 40.0, "synth-1x3@28"),
        (10, "ab", 20.0, "synth-1x1@28"),
    ]:
        card, lines = card_of(crops, sha)
        assert (card.accuracy.top1, card.accuracy.protocol) == (top1, protocol)
        assert card.accuracy.num_videos == 20
        assert lines == []
    assert card_of(1, "ef")[0].accuracy is None


def test_of_other_protocols_that_of_the_training_s_end_is_taken_then_the_first(
    card_of, small_run, monkeypatch
):
    real = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *at: sorted(real(*at), reverse=True))  # any order
    for name, correct in (("synth-2x3@28", 8), ("synth-1x3@28", 6), ("synth-5x3@28", 9)):
        file = small_run.path / f"eval-{name}.json"
        file.write_text(json.dumps(result(name, correct, "ab")))
    small_run.result_file.write_text(json.dumps(result("synth-1x1@28", 4, "cd")))
    assert card_of(10)[0].accuracy.protocol == "synth-1x3@28"
    small_run.result_file.write_text(json.dumps(result("synth-1x1@28", 4, "ab")))
    assert card_of(10)[0].accuracy.protocol == "synth-1x1@28"


def test_a_result_that_is_damaged_is_told(card_of):
    card, lines = card_of()
    assert card.accuracy is None
    assert lines[0].startswith("warning: runs/small/result.json: not a run's result: num_videos: ")


def test_a_run_that_has_not_finished_has_the_accuracy_of_its_tests(card_of, small_run):
    small_run.result_file.unlink()
    card, lines = card_of()
    assert (card.accuracy, lines) == (None, [])
    file = small_run.path / "eval-synth-1x1@28.json"
    file.write_text(json.dumps(result("synth-1x1@28", 4, "ab")))
    card, lines = card_of()
    assert (card.accuracy.top1, lines) == (20.0, [])


def test_a_card_names_no_file_of_this_machine(card_of, small_run):
    text = small_run.recipe_file.read_text().replace("init: null", "init: /home/me/w.safetensors")
    small_run.recipe_file.write_text(text)
    assert trained("runs/small", None).recipe.model.init == "/home/me/w.safetensors"
    card, _ = card_of()
    assert "/home/me" not in card.text()
    assert str(small_run.path.resolve()) not in card.text()


def test_a_card_says_how_flow_is_computed_and_bounded(card_of):
    assert card_of()[0].flow is None
    recipe = load_recipe("synth/i3d_flow", ["data.flow=farneback"]).recipe
    found = flow_reading(recipe)
    assert (found.method, found.limit_px) == ("farneback", 20)


def test_cards_of_before_have_no_flow(card_of):
    card, _ = card_of()
    older = {key: value for key, value in json.loads(card.text()).items() if key != "flow"}
    assert read_card("a.onnx", json.dumps(older)) == card


def test_a_card_is_read_as_it_was_written(card_of):
    card, _ = card_of()
    assert read_card("a.onnx", card.text()) == card
    assert card_recipe("a.onnx", card).model.num_classes == 16
    assert card_mirror(card) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, r"^a\.onnx: has no card of stsm$"),
        ({"classes": 7}, r"^a\.onnx: its card is not readable: classes: "),
        ({"recipe": {"model": 1}}, r"^a\.onnx: its card's recipe is not readable: model: "),
    ],
)
def test_what_is_no_card_is_refused(card_of, change, message):
    card, _ = card_of()
    text = None if change is None else json.dumps(json.loads(card.text()) | change)
    with pytest.raises(CheckpointError, match=message) as caught:
        card_recipe("a.onnx", read_card("a.onnx", text))
    assert caught.value.hint.startswith(("`stsm export` makes", "it was made by stsm "))


def test_the_card_of_weights_alone_has_no_accuracy(small_run, said):
    subject = trained(str(small_run.recipe_file), small_run.checkpoint)
    options = {"takes": "", "gives": "", "with_preprocessing": True, "progress": said}
    assert make_card(subject, small_run.classes(), "ab", mirror=None, **options).accuracy is None
