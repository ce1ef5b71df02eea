import pytest


@pytest.fixture(scope="session")
def tiny():
    """Options of `train` and `ablate` for a run of a second, of one epoch and two steps."""
    overrides = (
        "data.synth.train=16",
        "data.synth.val=16",
        "data.synth.frames=8",
        "model.num_frames=2",
        "optim.epochs=1",
        "optim.warmup_epochs=0",
        "optim.batch_size=8",
        "optim.lr_batch_size=8",
        "precision=fp32",
    )
    return [word for override in overrides for word in ("--set", override)]
