import re
from pathlib import Path

import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.data.loader import Batch
from stsm_cli.data.manifest import read_manifest
from stsm_cli.data.samples import TestSet
from stsm_cli.data.videos import Videos
from stsm_cli.engine.deployed import WithPreprocessing, as_port, example, ports
from stsm_cli.engine.scores import class_orders, score_videos
from stsm_cli.engine.testing import load_model
from stsm_cli.engine.trained import Trained, trained

CPU = torch.device("cpu")
DOCS = Path(__file__).parents[2] / "docs" / "real-data.md"


@pytest.fixture
def subject(small_run):
    return trained("runs/small", None)


@pytest.mark.parametrize("crops", [1, 3, 10])
def test_pixels_in_probabilities_out(subject, small_run, crops):
    """What stands around the network is a test's: a mirror image may show the swapped class."""
    subject = subject.under(crops=crops)
    asked, classes = subject.recipe, small_run.classes()
    model = load_model(asked.model, small_run.checkpoint, CPU)
    orders = class_orders(asked, classes, asked.test)
    assert (orders is None) == (crops != 10)
    deployed = WithPreprocessing(model, crops, asked.test.average, orders)
    takes, gives = ports(asked, len(classes), with_preprocessing=True)
    assert str(takes) == "frames, uint8 (N, {}4, 28, 28, 3)".format(f"{crops}, " * (crops > 1))
    assert str(gives) == "probabilities, float32 (N, 16)"
    frames = example(takes, 2)
    views = frames.view(2, crops, 4, 28, 28, 3).movedim(-1, -3)
    batch = Batch(views, torch.zeros(2, dtype=torch.int64), (0, 1), {})
    wanted = score_videos(model, [batch], CPU, average=asked.test.average, class_orders=orders)
    torch.testing.assert_close(deployed(frames), wanted.probabilities, atol=1e-6, rtol=1e-5)


def test_the_test_set_gives_what_a_file_takes(subject, small_run):
    """Views in the order in which they are averaged."""
    recipe = subject.under(crops=3).recipe
    manifest = read_manifest(subject.data_root, "val")
    view = recipe.model.view
    sample = TestSet(
        Videos(manifest, recipe.data.short_side_px, "pyav"), "uniform", recipe.test, view
    )[0]
    pixels = torch.from_numpy(sample.pixels).movedim(-1, -3)[None]  # (1, V, T, C, H, W)
    takes, _ = ports(recipe, 16, with_preprocessing=True)
    assert torch.equal(as_port(pixels, takes)[0], torch.from_numpy(sample.pixels))
    alone = ports(subject.recipe, 16, with_preprocessing=True)[0]
    assert as_port(pixels[:, :1], alone).shape == (1, *alone.shape)


def test_the_example_of_the_docs_feeds_what_its_file_takes():
    text = DOCS.read_text()
    pattern = r"stsm export runs/folder-(\w+)-001 .*--with-preprocessing(?: --crops (\d))?"
    name, crops = re.search(pattern, text).groups()
    folder = Trained(name, load_recipe(f"folder/{name}").recipe, Path("last.pt"), None)
    subject = folder.under(crops=int(crops) if crops else None)
    takes, _ = ports(subject.recipe, 2, with_preprocessing=True)
    assert f'{{"{takes.name}": frames}})  # {takes.dtype} {(1, *takes.shape)}\n' in text
