"""The networks that are compared, and that TSM's code and ours agree."""

import pytest
import torch

from stsm_cli.bench.shift import (
    LAYOUTS,
    PLAIN_COPY,
    STSM,
    TSM,
    TSM_CODE,
    TSN,
    ShiftCase,
    measure_shift,
    networks,
    shifts,
    step,
)
from stsm_cli.bench.turns import Stopwatch

CPU = torch.device("cpu")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_authors_code_and_ours_are_one_shift(layout):
    frames = torch.randn(2 * 4, 32, 3, 5).contiguous(memory_format=LAYOUTS[layout])
    ours, theirs, other = (shifts(4)[name](frames) for name in (TSM, TSM_CODE, STSM))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, other)


def test_the_networks_differ_in_their_shift_alone():
    models = networks(2)
    frames = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        logits = {name: model.eval()(frames) for name, model in models.items()}
    assert torch.allclose(logits[TSM], logits[TSM_CODE], atol=1e-5)
    for name in (TSM, STSM):
        assert not torch.allclose(logits[TSN], logits[name], atol=1e-4)


def test_both_codes_give_the_same_gradient():
    models = networks(2)
    frames = torch.randn(2, 3, 32, 32)
    gradients = {}
    for name in (TSM, TSM_CODE):
        model = models[name].train()
        model(frames).sum().backward()
        gradients[name] = model.conv1.weight.grad
    assert torch.allclose(gradients[TSM], gradients[TSM_CODE], rtol=1e-3, atol=1e-3)


def test_a_training_step_leaves_no_gradient_behind():
    model = networks(2)[TSN].train()
    step(model, torch.randn(2, 3, 32, 32), torch.float32)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_every_network_is_measured_forward_and_in_training():
    case = ShiftCase(CPU, "channels-last", num_frames=2, size_px=32)
    forward, training, alone = measure_shift(case, 1, Stopwatch(CPU))
    assert forward.title == "forward, cpu, float32, channels-last, eager"
    assert training.title == "training step, cpu, float32, channels-last, eager"
    assert alone.title == "16 shifts alone, cpu, float32, channels-last, eager"
    for table in (forward, training):
        assert list(table.rows) == [TSN, TSM, STSM, TSM_CODE]
        assert table.rows[TSN]["ratio"] == 1
    assert training.rows[TSN]["mb_ratio"] == 1
    assert 1 < training.rows[STSM]["mb_ratio"] < 2
    assert list(alone.rows) == [PLAIN_COPY, TSM, STSM, TSM_CODE]
    assert {"ms", "ratio", "share"} == set(alone.rows[STSM])


def test_compiled_networks_have_no_shift_alone_and_no_memory(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model: model)
    case = ShiftCase(CPU, "contiguous", is_compiled=True, num_frames=2, size_px=32)
    forward, training = measure_shift(case, 1, Stopwatch(CPU))
    assert forward.title == "forward, cpu, float32, contiguous, compiled"
    assert set(training.rows[STSM]) == {"ms", "ratio"}
