import errno
import json
import os
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import ShiftConfig
from stsm_cli.data.generated import GENERATED
from stsm_cli.engine import testing
from stsm_cli.engine.bundled import bundled_file
from stsm_cli.engine.identity import weights_sha256
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.testing import load_model, run_test
from stsm_cli.engine.trained import trained
from stsm_cli.errors import CheckpointError, DataError, RecipeError, UsageError
from stsm_cli.models.weights import FORMAT, read_weights, rules
from stsm_cli.progress import SILENT
from stsm_cli.stored import result_record

CPU = torch.device("cpu")


def run(subject, data=None, **edits):
    subject = subject.under(**edits)
    return run_test(subject, data_root=data, device=CPU, workers=0, decoder="pyav")


def test_a_run_is_tested_where_its_data_lie_and_keeps_the_result(small_run):
    tested = run(trained(None, None), crops=3)
    result = tested.result
    assert result.protocol == "synth-1x3@28"
    assert (result.num_videos, result.num_listed, len(tested.scores.labels)) == (21, 21, 21)
    assert len(result.top5_interval) == 2
    model = load_model(small_run.recipe().model, small_run.checkpoint, CPU)
    assert result.weights_sha256 == weights_sha256(model)
    assert (result.checkpoint, result.decoder) == ("last.pt", "pyav")
    assert result.class_hash == tested.manifest.class_hash
    kept = json.loads((small_run.path / "eval-synth-1x3@28.json").read_text())
    assert kept == json.loads(json.dumps(result_record(result)))


@pytest.mark.parametrize(
    ("trained_with", "warned"), [(GENERATED["synth"].identify(), 0), ("1b2c+3d4e", 1)]
)
def test_videos_of_another_split_are_told(small_run, monkeypatch, trained_with, warned):
    said = []
    monkeypatch.setattr(type(SILENT), "message", lambda self, text: said.append(text))
    known = replace(small_run.about(), data_id=trained_with)
    monkeypatch.setattr(RunFolder, "about", lambda self: known)
    run(trained(None, None))
    told = "warning: runs/small: these videos are not a split of the data set as it was when"
    assert [text.startswith(told) for text in said] == [True] * warned


@pytest.mark.parametrize("other", [{"split_id": "1b2c"}, {"list_sha256": "3d4e"}])
def test_an_earlier_test_of_other_videos_is_kept(small_run, other):
    run(trained(None, None))
    file = small_run.path / "eval-synth-1x1@28.json"
    first = json.loads(file.read_text()) | other
    file.write_text(json.dumps(first))
    for _ in range(2):  # again of the same videos: in its place
        result = run(trained(None, None)).result
    known = first["split_id"], first["list_sha256"]
    aside = f"other-{sha256(repr(known).encode()).hexdigest()[:8]}-{file.stem}"
    names = [f"{stem}{ending}" for stem in (file.stem, aside) for ending in (".json", ".npz")]
    assert sorted(path.name for path in small_run.path.glob("*eval-*")) == names
    assert json.loads((file.with_name(f"{aside}.json")).read_text()) == first
    assert json.loads(file.read_text()) == json.loads(json.dumps(result_record(result)))


@pytest.mark.parametrize("unknown", [{"split_id": None, "list_sha256": None}, "damaged"])
def test_an_earlier_test_of_no_known_videos_gives_way(small_run, unknown):
    run(trained(None, None))
    file = small_run.path / "eval-synth-1x1@28.json"
    text = unknown if unknown == "damaged" else json.dumps(json.loads(file.read_text()) | unknown)
    file.write_text(text)
    result = run(trained(None, None)).result
    assert json.loads(file.read_text())["split_id"] == result.split_id
    assert len([*small_run.path.glob("*eval-*")]) == 2


def test_an_earlier_test_that_cannot_be_renamed_stays(small_run, monkeypatch):
    said = []
    monkeypatch.setattr(type(SILENT), "message", lambda self, text: said.append(text))
    run(trained(None, None))
    file = small_run.path / "eval-synth-1x1@28.json"
    first = json.dumps(json.loads(file.read_text()) | {"split_id": "1b2c"})
    file.write_text(first)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    assert run(trained(None, None)).result.num_videos == 21
    assert said[-1].endswith(f"{file.name}: cannot be renamed (No space left on device)")
    assert file.read_text() == first


def test_edits_of_the_test_rename_the_result(small_run):
    edits = ["test.crops=3", "test.average=score", "data.short_side_px=40", "precision=fp32"]
    subject = trained("runs/small", None, overrides=edits)
    assert subject.edits == ("data.short_side_px=40", "precision=fp32")
    result = run(subject).result
    assert result.protocol == "synth-1x3@28-score+data.short_side_px=40+precision=fp32"
    assert (small_run.path / f"eval-{result.protocol}.json").is_file()
    assert result.recipe_hash != run(trained("runs/small", None)).result.recipe_hash


def test_an_edit_to_the_same_value_is_none(small_run):
    subject = trained("runs/small", None, overrides=["precision=bf16", "model.num_frames=4"])
    assert subject.edits == ()


@pytest.mark.parametrize("edit", ["model.num_frames=2", "seed=3", "data.flip=none", "optim.lr=1.0"])
def test_what_was_trained_cannot_be_edited(small_run, edit):
    with pytest.raises(UsageError, match=f"--set {edit}: would change what was trained") as caught:
        trained("runs/small", None, overrides=[edit])
    assert "data.short_side_px" in caught.value.hint


def test_a_wrong_edit_is_a_problem_of_the_recipe(small_run):
    with pytest.raises(RecipeError, match=r"test\.average"):
        trained("runs/small", None, overrides=["test.average=median"])


def test_the_best_checkpoint_is_tested_on_request(small_run):
    state = torch.load(small_run.checkpoint, weights_only=True)
    state["model"]["fc.bias"][3] = 100.0
    torch.save(state, small_run.best_checkpoint)
    last, best = (run(trained("runs/small", None, best=best)) for best in (False, True))
    assert (last.result.checkpoint, best.result.checkpoint) == ("last.pt", "best.pt")
    assert set(best.scores.probabilities.argmax(1).tolist()) == {3}
    assert last.result.weights_sha256 != best.result.weights_sha256
    kept = json.loads((small_run.path / "eval-best-synth-1x1@28.json").read_text())
    assert kept["checkpoint"] == "best.pt"


def test_a_damaged_checkpoint_hints_at_the_best_one(small_run):
    small_run.checkpoint.rename(small_run.best_checkpoint)
    for content in (b"half", small_run.recipe_file.read_bytes()):
        small_run.checkpoint.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.pt: not a readable checkpoint") as caught:
            run(trained("runs/small", None))
        assert caught.value.hint.startswith("`stsm eval runs/small --best` tests the checkpoint of")
    small_run.best_checkpoint.unlink()
    with pytest.raises(CheckpointError, match=r"last\.pt: not a readable checkpoint") as caught:
        run(trained("runs/small", None))
    assert caught.value.hint is None


def test_a_run_without_a_best_checkpoint_says_so(small_run):
    with pytest.raises(CheckpointError, match=r"checkpoints/best\.pt: no such file"):
        run(trained("runs/small", None, best=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run": None}, r"--checkpoint x\.pt: needs a recipe"),
        ({"run": "synth/stsm", "best": True}, r"--checkpoint x\.pt: excludes --best"),
    ],
)
def test_a_checkpoint_comes_with_a_recipe_and_alone(arguments, message):
    with pytest.raises(UsageError, match=message):
        trained(checkpoint=Path("x.pt"), **arguments)


def test_a_recipe_with_a_checkpoint_may_be_edited_anywhere(small_run):
    recipe = str(small_run.recipe_file)
    subject = trained(recipe, small_run.checkpoint, overrides=["optim.epochs=7", "test.crops=10"])
    assert (subject.edits, subject.folder) == ((), None)
    result = run(subject, data=Path("data/synth")).result
    assert (result.protocol, result.num_listed) == ("synth-1x10@28", 21)
    assert list(small_run.path.glob("eval-*")) == []


def test_a_converted_file_gives_what_the_checkpoint_gives(small_run):
    weights = read_weights(small_run.checkpoint)
    save_file(weights, "w.safetensors", {"format": FORMAT, "shifted": "true"})
    converted = run(trained(str(small_run.recipe_file), Path("w.safetensors")))
    own = run(trained("runs/small", None))
    assert converted.result.weights_sha256 == own.result.weights_sha256
    assert torch.equal(converted.scores.probabilities, own.scores.probabilities)


def test_weights_are_tested_under_the_shift_of_their_training_alone(small_run, monkeypatch):
    """It has no tensors: the run around a checkpoint, or the card in a file, tells of it."""
    config = small_run.recipe().model
    other = config.model_copy(update={"shift": ShiftConfig(dims="T", alpha="1/4")})
    with pytest.raises(CheckpointError, match=r"last.pt: trained with model.shift.dims T\+H\+W, "
                       "model.shift.alpha 3/8, but the recipe's network has model.shift.dims T, "
                       "model.shift.alpha 1/4$") as caught:  # fmt: skip
        load_model(other, small_run.checkpoint, CPU)
    assert caught.value.hint == "--set model.shift.dims=T+H+W --set model.shift.alpha=3/8"
    shift = config.shift.model_copy(update={"alpha": Fraction(1, 4)})
    less = config.model_copy(update={"shift": shift})
    with pytest.raises(CheckpointError, match=r"trained with model\.shift\.alpha 3/8, but the"):
        load_model(less, small_run.checkpoint, CPU)
    with pytest.raises(CheckpointError, match=r"trained with model.shift.dims T\+H\+W"):
        load_model(load_recipe("order/tsm").recipe.model, bundled_file("order/stsm"), CPU)
    monkeypatch.chdir(small_run.checkpoint.parent)
    with pytest.raises(CheckpointError, match=r"last\.pt: trained with"):
        load_model(other, Path("last.pt"), CPU)
    alone = small_run.path / "alone.pt"
    alone.write_bytes(small_run.checkpoint.read_bytes())
    assert load_model(other, alone, CPU)  # nobody tells
    small_run.recipe_file.write_text("damaged")
    assert load_model(other, small_run.checkpoint, CPU)


def test_a_mirror_is_the_training_s_or_the_data_set_s_own(small_run):
    by_run, classes = trained("runs/small", None), small_run.classes()
    weights = Path("alone.pt")
    weights.write_bytes(small_run.checkpoint.read_bytes())
    alone = trained(str(small_run.recipe_file), weights)
    assert alone.mirror_of(classes, None) is None
    pairs = Path("other/manifest/mirror_pairs.csv")
    pairs.parent.mkdir(parents=True)
    pairs.write_text(f"class,mirror_image\n{classes[0]},{classes[2]}\n")
    assert alone.mirror_of(classes, Path("other")).pairs == ((classes[0], classes[2]),)
    for known in (by_run, trained(str(small_run.recipe_file), small_run.checkpoint)):
        assert known.mirror_of(classes, Path("other")) == by_run.mirror


def test_a_test_takes_the_mirror_of_the_training(small_run, monkeypatch):
    subject = trained(str(small_run.recipe_file), small_run.checkpoint)
    about = json.loads(small_run.environment_file.read_text())
    names = [[*small_run.classes()[:2]]]
    about["mirror"] = {"pairs": names, "source": "elsewhere"}
    small_run.environment_file.write_text(json.dumps(about))
    taken, score = [], testing.score_split

    def score_split(*arguments, mirror, **options):
        taken.append((mirror.pairs, mirror.source))
        return score(*arguments, mirror=mirror, **options)

    monkeypatch.setattr(testing, "score_split", score_split)
    run(subject)
    assert taken == [((tuple(names[0]),), "elsewhere")]


def test_a_converted_file_is_tested_under_the_rules_of_its_network_alone(small_run):
    weights, config = read_weights(small_run.checkpoint), small_run.recipe().model
    header = {"format": FORMAT, "shifted": "true", **rules(config)}
    save_file(weights, "w.safetensors", header)
    assert load_model(config, Path("w.safetensors"), CPU)
    other = header | {"model.shift.shortcut": "true"}
    save_file(weights, "w.safetensors", other)
    with pytest.raises(CheckpointError) as caught:
        load_model(config, Path("w.safetensors"), CPU)
    assert str(caught.value) == (
        "w.safetensors: trained with model.shift.shortcut true, but the recipe's network has "
        "model.shift.shortcut false"
    )
    assert caught.value.hint == "--set model.shift.shortcut=true"
    save_file(weights, "w.safetensors", other | {"recipe": "sthv2/tsm_tpn_r50_8f"})
    with pytest.raises(CheckpointError) as caught:
        load_model(config, Path("w.safetensors"), CPU)
    assert caught.value.hint.endswith("=true, or recipe sthv2/tsm_tpn_r50_8f")


def test_a_number_of_classes_left_open_is_that_of_the_weights(small_run):
    config = small_run.recipe().model.model_copy(update={"num_classes": None, "weights": None})
    assert load_model(config, small_run.checkpoint, CPU).fc.out_features == 16


def test_weights_without_a_classifier_are_refused(small_run):
    state = torch.load(small_run.checkpoint, weights_only=True)
    del state["model"]["fc.bias"]
    torch.save(state, small_run.checkpoint)
    config = small_run.recipe().model.model_copy(update={"num_classes": None})
    with pytest.raises(CheckpointError, match=r"last\.pt: has no fc\.bias"):
        load_model(config, small_run.checkpoint, CPU)


def test_data_with_another_number_of_classes_are_refused(small_run, tmp_path, make_split):
    """Where nothing tells of the training the class list cannot be compared, but its length."""
    alone = small_run.checkpoint.rename(tmp_path / "last.pt")
    subject = trained(str(small_run.recipe_file), alone)
    copy = tmp_path / "copy"
    (copy / "manifest").mkdir(parents=True)
    for name in ("train.csv", "val.csv"):
        (copy / "manifest" / name).write_text((Path("data/synth/manifest") / name).read_text())
    names = Path("data/synth/manifest/classes.txt").read_text()
    (copy / "manifest" / "classes.txt").write_text(names + "another\n")
    recipe = subject.recipe.model_copy(
        update={"data": subject.recipe.data.model_copy(update={"synth": None})}
    )
    with pytest.raises(DataError, match=r"copy: holds 17 classes, .*last\.pt knows 16"):
        run_test(
            replace(subject, recipe=recipe),
            data_root=copy,
            device=CPU,
            workers=0,
            decoder="pyav",
        )
