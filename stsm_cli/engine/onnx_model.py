"""A file of `stsm export` that is run by ONNX Runtime, as its card says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stsm_cli.config.schema import Recipe
from stsm_cli.config.view import View
from stsm_cli.data.decode import Decoder
from stsm_cli.data.loader import Batch
from stsm_cli.engine.card import ModelCard, card_mirror, card_recipe, read_card
from stsm_cli.engine.deployed import as_port, ports
from stsm_cli.engine.onnx_session import open_session
from stsm_cli.engine.predict import Predictor, by_network
from stsm_cli.engine.trained import Trained
from stsm_cli.errors import CheckpointError, UsageError
from stsm_cli.models.network import Network
from stsm_cli.models.weights_kind import CARD


@dataclass(frozen=True)
class OnnxModel:
    """An exported network.

    Attributes:
        path: Its file.
        card: What the file says of itself.
        recipe: The card's, in float32: the network computes in it.
        session: What runs it.
    """

    path: Path
    card: ModelCard
    recipe: Recipe
    session: Any

    def under(self, *, protocol: str | None, clips: int | None, crops: int | None) -> Trained:
        """What is tested, under another protocol than the card's.

        Raises:
            UsageError: The protocol does not fit the recipe, or the file.
        """
        own = Trained(self.card.name, self.recipe, self.path, None)
        subject = own.under(protocol=protocol, clips=clips, crops=crops)
        test = subject.recipe.test
        if self.card.with_preprocessing and test != self.recipe.test:
            raise UsageError(
                f"{self.path}: its protocol, {own.protocol}, is inside, and {subject.protocol} is "
                "another",
                hint="export it under that protocol, or without --with-preprocessing",
            )
        if test.crop_px != self.recipe.test.crop_px:
            raise UsageError(
                f"{self.path}: takes pictures of {self.recipe.test.crop_px} pixels, and "
                f"{subject.protocol} has others"
            )
        return subject

    def predictor(self, recipe: Recipe, decoder: Decoder) -> Predictor:
        """What predicts under a recipe of `under`."""
        classes = self.card.classes
        if not self.card.with_preprocessing:
            network = _OnnxNetwork(recipe.model.view, len(classes), self.session)
            cpu, mirror = torch.device("cpu"), card_mirror(self.card)
            return by_network(network, recipe, classes, cpu, decoder=decoder, mirror=mirror)
        takes, _ = ports(recipe, len(classes), with_preprocessing=True)

        def score(batch: Batch) -> Tensor:
            frames = as_port(batch.pixels, takes).contiguous()
            (rows,) = self.session.run(None, {takes.name: frames.numpy()})
            return torch.from_numpy(rows)

        return Predictor(recipe, classes, decoder, score)


class _OnnxNetwork(Network):
    """The contract of a network around a session."""

    def __init__(self, view: View, num_classes: int, session: Any) -> None:  # noqa: ANN401
        super().__init__(view, num_classes)
        self.session = session

    def logits(self, videos: Tensor) -> Tensor:
        """(N, K) of videos (N, T, C, H, W)."""
        (rows,) = self.session.run(None, {"videos": videos.contiguous().numpy()})
        return torch.from_numpy(rows)


def open_onnx(path: Path) -> OnnxModel:
    """The exported network in a file.

    Raises:
        CheckpointError: It is missing, no ONNX file, or has no card.
    """
    try:
        session = open_session(str(path), torch.get_num_threads())
    except Exception as error:  # of ONNX Runtime's own kinds
        first_line = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path}: not a readable ONNX file ({first_line})") from None
    card = read_card(path, session.get_modelmeta().custom_metadata_map.get(CARD))
    recipe = card_recipe(path, card).model_copy(update={"precision": "fp32"})
    return OnnxModel(path, card, recipe, session)
