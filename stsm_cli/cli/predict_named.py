"""What stands on the line of `stsm predict`: a network, videos, a camera or a stream."""

from collections.abc import Sequence
from contextlib import suppress
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from stsm_cli.errors import UsageError
from stsm_cli.models.weights_kind import SAFETENSORS
from stsm_cli.printable import command_line

if TYPE_CHECKING:
    from stsm_cli.data.live import Source
    from stsm_cli.engine.trained import Trained

ONNX, PROGRAM = ".onnx", ".pt2"
WEIGHTS = (SAFETENSORS, ".pt", ".pth")
DEMO = Path("demo")


def told_apart(
    words: list[str], run: str | None, recipe: str | None
) -> tuple[Path | None, str | None, list[str]]:
    """A file of ONNX, or a run by folder or name, that comes before the videos; and the videos.

    Raises:
        UsageError: A network comes first, and options name another.
    """
    if not words:
        return None, run, words
    first, *others = words
    if first.lower().endswith(ONNX):
        return Path(first), run, others
    if not _is_network(first):
        return None, run, words
    if run or recipe:
        raise UsageError(f"{first}: is a network, and {run or recipe} is another")
    return None, first, others


def _is_network(word: str) -> bool:
    """Tell whether a run folder is named, or something like one of `stsm weights`."""
    from stsm_cli.config.load import recipe_names
    from stsm_cli.engine.bundled import almost_bundled

    with suppress(OSError):  # such as a name that is too long: of a video, it is told later
        if Path(word).exists():
            return (Path(word) / "recipe.yaml").is_file()
    return word in recipe_names() or almost_bundled(word) is not None


def source_of(
    network: Path | None,
    camera: str | None,
    named: list[str],
    demo: bool,
    of_files: Sequence[object],
    seconds: float | None,
) -> "Source | None":
    """The camera or stream to look at; None: files.

    Args:
        network: A file of ONNX that comes first.
        camera: As the user named it.
        named: Videos, among them a stream.
        demo: Whether videos are drawn.
        of_files: Values of --save, --clips, --crops, --protocol and --force, None where not given.
        seconds: Of a stream.

    Raises:
        UsageError: No video is named, or something beside a camera or a stream.
    """
    from stsm_cli.data import live

    streams = list(filter(live.is_address, named))
    name = f"--camera {camera}" if camera is not None else next(iter(streams), None)
    if seconds is not None and isnan(seconds):
        raise UsageError("--seconds nan: must be a number of seconds")
    if name is None:
        if seconds is not None:
            raise UsageError(f"--seconds {seconds:g}: belongs to a camera or a stream")
        if not named and not demo:
            where = f"{network}: is a network, and " if network else ""
            hint = "`stsm predict order/stsm --demo` draws some and looks at them"
            raise UsageError(f"{where}no video is named", hint=None if network else hint)
        return None
    if len(named) + demo > (camera is None):
        raise UsageError(f"{name}: is looked at alone, without other videos")
    if any(value is not None for value in of_files):
        raise UsageError(
            f"{name}: goes on, without --save, --force, --clips, --crops and --protocol"
        )
    return live.stream(name) if camera is None else live.camera(camera)


def videos_of(named: Sequence[str], subject: "Trained", demo: bool) -> list[Path]:
    """The named videos, and with `demo` some of the embedded data set that was trained on.

    Raises:
        UsageError: It was another data set.
        DataError: They cannot be drawn into `demo/`.
    """
    videos = [Path(name) for name in named]
    if not demo:
        return videos
    from stsm_cli.data.generated import GENERATED

    data = subject.recipe.data
    if data.generated is None:
        raise UsageError(
            f"--demo: {subject.called} is not of a drawn data set",
            hint="`stsm predict order/stsm --demo` is of one",
        )
    return [*videos, *GENERATED[data.dataset].demo(DEMO / data.dataset, data.generated)]


def _is_file(path: Path) -> bool:
    with suppress(OSError):
        return path.is_file()
    return False


def refuse_networks(videos: Sequence[str]) -> None:
    """Refuse what is a network by its name where videos stand; the hint has what to type."""
    for path in filter(_is_file, map(Path, videos)):
        ending = path.suffix.lower()
        if ending == ONNX:
            raise UsageError(
                f"{path}: is a network, and one stands before the videos",
                hint=f"`{command_line('predict', path, 'VIDEO')}`",
            )
        if ending == PROGRAM:
            raise UsageError(
                f"{path}: is a network for torch.export.load, and not run here",
                hint=f"`{command_line('export', 'RUN', '-o', path.with_suffix(ONNX))}` of its run "
                "writes one that is",
            )
        if ending in WEIGHTS:
            command = ("predict", "VIDEO", "--recipe", "RECIPE", "--checkpoint", path)
            raise UsageError(
                f"{path}: holds weights, which are run under a recipe",
                hint=f"`{command_line(*command)}`",
            )
