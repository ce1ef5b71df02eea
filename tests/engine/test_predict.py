import re
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from stsm_cli.data.dataset import open_split
from stsm_cli.data.decode import probe
from stsm_cli.data.manifest import read_manifest
from stsm_cli.data.videos import Videos
from stsm_cli.engine.bundled import bundled_file, weights_card
from stsm_cli.engine.predict import by_network, class_names, predict
from stsm_cli.engine.scores import score_split
from stsm_cli.engine.testing import check_classes, load_model
from stsm_cli.engine.trained import edit_protocol, trained
from stsm_cli.errors import DataError

CPU = torch.device("cpu")


def by(model, recipe, classes):
    return by_network(model, recipe, classes, CPU, decoder="pyav")


@pytest.mark.parametrize("protocol", ["1x1@28", "2x10@24", "2x3@32-score"])
def test_predict_gives_what_eval_gives(small_run, protocol):
    recipe = edit_protocol(small_run.recipe(), protocol=protocol)
    model = load_model(recipe.model, small_run.checkpoint, CPU)
    manifest = read_manifest(Path("data/synth"), "val")
    videos = Videos(manifest, recipe.data.short_side_px, "pyav")
    wanted = score_split(model, videos, recipe, recipe.test, CPU).probabilities
    paths = [manifest.root / record.path for record in manifest.records[:5]]
    found = predict(by(model, recipe, manifest.classes), paths)
    assert (list(found.probabilities), found.failed) == (paths, {})
    for path, row in zip(paths, wanted, strict=False):
        assert torch.allclose(found.probabilities[path], row, atol=1e-6, rtol=0)
    assert wanted.std(0).max() > 0.01  # the videos do differ


def test_predict_follows_motion_as_eval_does(small_run):
    recipe = small_run.recipe()
    data = recipe.data.model_copy(update={"sampling": "motion"})
    recipe = recipe.model_copy(update={"data": data})
    model = load_model(recipe.model, small_run.checkpoint, CPU)
    videos = open_split(data, Path("data/synth"), "val", decoder="pyav")
    wanted = score_split(model, videos, recipe, recipe.test, CPU).probabilities
    paths = [videos.manifest.root / record.path for record in videos.manifest.records[:3]]
    found = predict(by(model, recipe, videos.manifest.classes), paths)
    rows = torch.stack([found.probabilities[path] for path in paths])
    torch.testing.assert_close(rows, wanted[:3], atol=1e-6, rtol=0)


def test_what_is_no_video_is_told_and_the_others_are_predicted(small_run):
    recipe, good = small_run.recipe(), Path("data/synth/val/00002.mp4")
    model = load_model(recipe.model, small_run.checkpoint, CPU)
    Path("text.mp4").write_text("no video")
    paths = [Path("text.mp4"), Path("gone.mp4"), good, Path("data"), good]
    found = predict(by(model, recipe, small_run.classes()), paths)
    assert list(found.probabilities) == [good]
    assert {str(path): str(error).partition(" (")[0] for path, error in found.failed.items()} == {
        "text.mp4": "text.mp4: does not open",
        "gone.mp4": "gone.mp4: no such file",
        "data": "data: is a folder, not a video",
    }


def test_frames_that_are_damaged_are_told_and_predicted_from(small_run):
    recipe, source = small_run.recipe(), Path("data/synth/val/00002.mp4")
    model = load_model(recipe.model, small_run.checkpoint, CPU)
    with av.open(str(source)) as container:
        packet = next(container.demux(video=0))
        place, size = packet.pos, packet.size
    content = bytearray(source.read_bytes())
    content[place + size - size // 8 : place + size] = bytes(size // 8)  # of its first picture
    Path("hit.mp4").write_bytes(content)
    paths = [Path("hit.mp4"), source]
    found = predict(by(model, recipe, small_run.classes()), paths)
    assert (list(found.probabilities), found.failed) == (paths, {})
    assert found.damaged == {Path("hit.mp4"): 1}  # each frame is a key frame


def test_a_file_that_ends_early_is_told_and_predicted_from(small_run):
    recipe, source = small_run.recipe(), Path("data/synth/val/00002.mp4")
    model = load_model(recipe.model, small_run.checkpoint, CPU)
    with av.open(str(source)) as old, av.open("whole.mkv", "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    whole, cut = Path("whole.mkv"), Path("cut.mkv")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = predict(by(model, recipe, small_run.classes()), [whole, cut])
    assert (list(found.probabilities), found.failed) == ([whole, cut], {})
    assert list(found.short) == [cut]
    assert re.fullmatch(r"ends after \d frames, at 0\.\d\d of \d\.\d\d s", found.short[cut])


def test_only_the_frames_that_are_needed_are_read(small_run, monkeypatch):
    recipe = edit_protocol(small_run.recipe(), clips=2)
    model, read = load_model(recipe.model, small_run.checkpoint, CPU), []
    whole = Videos.read

    def reading(self, index, frame_indices):
        read.extend(frame_indices.tolist())
        return whole(self, index, frame_indices)

    monkeypatch.setattr(Videos, "read", reading)
    path = Path("data/synth/val/00000.mp4")
    predict(by(model, recipe, small_run.classes()), [path])
    assert probe(path).num_frames == 12
    assert read == np.unique([1, 4, 7, 10, 0, 3, 6, 9]).tolist()


def test_a_video_that_breaks_after_it_was_counted_is_told(small_run, monkeypatch):
    def fail(self, index, frame_indices):
        raise DataError("a.mp4: broke")

    monkeypatch.setattr(Videos, "read", fail)
    model = load_model(small_run.recipe().model, small_run.checkpoint, CPU)
    path = Path("data/synth/val/00000.mp4")
    found = predict(by(model, small_run.recipe(), small_run.classes()), [path])
    assert str(found.failed[path]) == "a.mp4: broke"


def test_class_names_are_the_runs_own(small_run):
    names = class_names(trained("runs/small", None), Path("nowhere"), 16)
    assert names == read_manifest(Path("data/synth"), "val").classes


def test_a_run_without_names_takes_those_of_its_data(small_run):
    small_run.classes_file.unlink()
    names = class_names(trained("runs/small", None), None, 16)
    assert names == read_manifest(Path("data/synth"), "val").classes


def test_a_file_of_weights_tells_its_classes_by_its_run_or_its_card(small_run):
    of_run = trained(str(small_run.recipe_file), small_run.checkpoint)
    assert class_names(of_run, Path("nowhere"), 16) == small_run.classes()
    file = bundled_file("order/stsm")
    of_card = trained("order/stsm", file)
    assert class_names(of_card, Path("nowhere"), 16) == weights_card(file).classes
    message = (
        r"its class 0 is 'left_to_right', in the training of .*\.safetensors it was 'orbit_cw'$"
    )
    with pytest.raises(DataError, match=message):
        check_classes(of_card, read_manifest(Path("data/synth"), "val"), 16)


def test_names_of_other_data_are_refused(small_run, tmp_path):
    small_run.classes_file.unlink()
    file = tmp_path / "other" / "manifest" / "classes.txt"
    file.parent.mkdir(parents=True)
    file.write_text("a\nb\n")
    with pytest.raises(DataError, match=r"other: its class list \(\w+\) is not the one of the tra"):
        class_names(trained("runs/small", None), tmp_path / "other", 16)
    alone = trained(str(small_run.recipe_file), small_run.checkpoint.rename(tmp_path / "last.pt"))
    with pytest.raises(DataError, match=r"other: holds 2 classes, .*last\.pt knows 16"):
        class_names(alone, tmp_path / "other", 16)


def test_weights_by_themselves_look_where_the_data_usually_lie(small_run, tmp_path):
    alone = trained(str(small_run.recipe_file), small_run.checkpoint.rename(tmp_path / "last.pt"))
    assert class_names(alone, None, 16) == small_run.classes()
    Path("data/synth").unlink()
    assert class_names(alone, None, 16) is None
    with pytest.raises(DataError, match=r"nowhere/manifest/classes\.txt: not found"):
        class_names(alone, Path("nowhere"), 16)
