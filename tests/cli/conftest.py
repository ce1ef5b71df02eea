import pytest


@pytest.fixture(scope="session")
def tiny():
    """Options of `train` on `synth` for a run of a second, of one epoch and two steps."""
    return _tiny("synth", "train", "val")


@pytest.fixture(scope="session")
def tiny_rows():
    """The same of `ablate` on `order`."""
    return ["--dataset", "order", *_tiny("order", "train", "val", "test")]


def _tiny(name, *splits):
    overrides = (
        *(f"data.{name}.{split}=16" for split in splits),
        f"data.{name}.frames=8",
        "model.num_frames=2",
        "optim.epochs=1",
        "optim.warmup_epochs=0",
        "optim.batch_size=8",
        "optim.lr_batch_size=8",
        "precision=fp32",
    )
    return [word for override in overrides for word in ("--set", override)]
