"""`stsm weights`."""

from typing import TYPE_CHECKING

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.printable import command_line

if TYPE_CHECKING:
    from stsm_cli.engine.card import ModelCard


def weights(as_json: Json = False) -> None:
    """List the trained networks that come along, with their cards.

    They are small networks of the embedded data sets. Their names stand for a run in `eval`,
    `predict` and `export`, and in `inspect` with a video.

    Examples:
      stsm weights
      stsm predict order/stsm --demo
      stsm export order/stsm -o order.onnx
    """
    from stsm_cli.engine.bundled import bundled_file, bundled_names, weights_card

    cards = {name: weights_card(bundled_file(name)) for name in bundled_names()}
    if as_json:
        listed = {name: card.as_dict() for name, card in cards.items()}
        output.current().json({"schema": "stsm.weights/1", "weights": listed})
        return
    columns = ["name", "classes", "frames", "shift", "seed", "top-1 %", "protocol", "videos"]
    rows = [_row(name, card) for name, card in cards.items()]
    notes = [
        "each was trained by `stsm train NAME`, and knows the drawn videos of its set alone",
        f"`{command_line('predict', next(iter(cards)), '--demo')}` tries one",
    ]
    output.current().table("Trained networks that come along", columns, rows, notes)


def _row(name: str, card: "ModelCard") -> list[str]:
    shift, tested = card.recipe["model"].get("shift"), card.accuracy
    return [
        name,
        str(len(card.classes)),
        str(card.reading.num_positions),
        f"{shift['dims']}, α = {shift['alpha']}" if shift else "none",
        str(card.recipe.get("seed", 0)),
        f"{tested.top1:.1f}" if tested else "not tested",
        tested.protocol if tested else "",
        f"{tested.num_videos:,}" if tested else "",
    ]
