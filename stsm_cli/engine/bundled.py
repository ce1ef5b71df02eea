"""Trained weights that come along: small networks of the embedded data sets, by their recipes.

`weights/<recipe>.safetensors` is what `stsm export RUN -o` wrote of a run of that recipe as it
stands; the card inside says what was trained on what, and how well it did.
"""

from difflib import get_close_matches
from pathlib import Path

from safetensors import SafetensorError, safe_open

from stsm_cli.engine.card import ModelCard, read_card
from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_kind import CARD, SAFETENSORS, check_weights
from stsm_cli.resources import resource_dir


def bundled_names() -> tuple[str, ...]:
    """The recipes whose trained weights come along, sorted."""
    root = resource_dir("weights")
    files = root.glob(f"*/*{SAFETENSORS}")  # beside the folders lies what a user converted
    return tuple(sorted(file.relative_to(root).with_suffix("").as_posix() for file in files))


def almost_bundled(name: str) -> str | None:
    """The one of these names that is meant, where nothing has the given one; None: no such is."""
    path = Path(name)
    if path.suffix or path.exists():
        return None
    return next(iter(get_close_matches(name, bundled_names(), n=1, cutoff=0.8)), None)


def bundled_file(name: str) -> Path:
    """The file of the weights of that name."""
    return resource_dir("weights") / f"{name}{SAFETENSORS}"


def weights_card(path: Path) -> ModelCard:
    """The card in a file of weights that `stsm export` wrote.

    Raises:
        CheckpointError: The file is missing, no safetensors file, or has no card.
    """
    check_weights(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None
    return read_card(path, metadata.get(CARD))
