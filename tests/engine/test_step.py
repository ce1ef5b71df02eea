import math
import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from stsm_cli.config.regularisation import LossConfig
from stsm_cli.data.loader import Batch
from stsm_cli.engine import step as engine
from stsm_cli.engine.step import Stepper
from stsm_cli.errors import StsmError
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network

CPU = torch.device("cpu")


@pytest.fixture
def frozen(monkeypatch):
    """Batch norms use their running statistics, so that a batch may be split."""
    monkeypatch.setattr(
        nn.BatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False)
    )


def edited(recipe, precision="fp32", **optim):
    optim = recipe.optim.model_copy(update=optim)
    model = recipe.model.model_copy(update={"dropout": 0.0})
    return recipe.model_copy(update={"optim": optim, "model": model, "precision": precision})


def batches(sizes, seed=0):
    rng, first = np.random.default_rng(seed), 0
    for size in sizes:
        pixels = torch.from_numpy(rng.integers(0, 256, (size, 4, 16, 16, 3), dtype=np.uint8))
        labels = torch.from_numpy(rng.integers(0, 16, size))
        indices = tuple(range(first, first + size))
        yield Batch(pixels.movedim(-1, -3), labels, indices, {})
        first += size


def joined(parts):
    return Batch(
        torch.cat([part.pixels for part in parts]),
        torch.cat([part.labels for part in parts]),
        tuple(index for part in parts for index in part.indices),
        {},
    )


def stepper(recipe, compile_with=None, **options):
    torch.manual_seed(0)
    return Stepper(build_model(recipe.model), recipe, CPU, compile_with, **options)


def gradients(stepper):
    return {name: p.grad for name, p in stepper.model.named_parameters()}


def test_parts_add_up_to_the_whole_batch(recipe, frozen):
    parts = list(batches([3, 1, 2]))  # unequal, as where videos are broken
    whole, split = stepper(edited(recipe)), stepper(edited(recipe))
    one = whole.gradient([joined(parts)], 6)
    other = split.gradient([parts[0], Batch(torch.empty(0), torch.empty(0), (), {}), *parts[1:]], 6)
    assert other.loss_sum == pytest.approx(one.loss_sum, rel=1e-5)
    assert other.norm == pytest.approx(one.norm, rel=1e-4)
    assert other.correct == one.correct
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(split)[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_the_mean_loss_s(recipe, frozen):
    (batch,) = batches([5])
    ours = stepper(edited(recipe))
    told = ours.gradient([batch], 5)
    assert ours.model.training
    model = stepper(edited(recipe)).model.train()
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    videos = (batch.pixels.float() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    logits = model(videos)
    loss = nn.functional.cross_entropy(logits, batch.labels)
    loss.backward()
    assert told.loss_sum == pytest.approx(5 * loss.item(), rel=1e-5)
    assert told.correct == int((logits.argmax(1) == batch.labels).sum())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients(ours)[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_parts_add_up_where_classes_weigh_differently(recipe, frozen):
    parts, weights = list(batches([3, 1, 2])), torch.linspace(0.1, 3, 16)
    recipe = edited(recipe).model_copy(update={"loss": LossConfig(label_smoothing=0.1)})
    whole, split = (stepper(recipe, class_weights=weights) for _ in range(2))
    one, other = whole.gradient([joined(parts)], 6), split.gradient(parts, 6)
    assert other.loss_sum == pytest.approx(one.loss_sum, rel=1e-5)
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(split)[name], gradient, rtol=1e-4, atol=1e-6)


def test_mixed_videos_have_mixed_targets_in_both_heads(recipe, monkeypatch):
    recipe = recipe.model_copy(update={"loss": LossConfig(mixup_alpha=0.4)})
    (batch,), ours = batches([3]), two_heads(recipe)
    mix = ours.loss._mix[0]
    monkeypatch.setattr(mix, "make_params", lambda flat: {"lam": 0.75})
    told = ours.gradient([batch], 3)
    model = two_heads(recipe).model.train()
    videos = engine.normalise(batch.pixels, model.view, CPU)
    own, other = model(0.75 * videos + 0.25 * videos.roll(1, 0))
    one_hot = nn.functional.one_hot(batch.labels, 16).float()
    targets = 0.75 * one_hot + 0.25 * one_hot.roll(1, 0)
    losses = [-(targets * head.log_softmax(1)).sum(1).mean() for head in (own, other)]
    assert told.loss_sum == pytest.approx(3 * (losses[0] + 0.5 * losses[1]).item(), rel=1e-5)
    assert told.correct == (own.argmax(1) == batch.labels).sum()


def test_the_average_follows_the_weights_by_its_decay(recipe):
    ours = stepper(edited(recipe, optimizer="sgd", ema_decay=0.75))
    assert ours.result is not ours.model
    seen = []
    for _ in range(3):
        ours.gradient(list(batches([4])), 4)
        ours.apply(0.5)
        seen.append({name: tensor.clone() for name, tensor in ours.model.state_dict().items()})
    first, second, third = seen
    for name, averaged in ours.result.state_dict().items():
        if not averaged.is_floating_point():
            assert torch.equal(averaged, third[name]), name  # a count
            continue
        literal = 0.75 * (0.75 * first[name] + 0.25 * second[name]) + 0.25 * third[name]
        torch.testing.assert_close(averaged, literal)
    assert not torch.equal(ours.result.fc.weight, ours.model.fc.weight)


def test_an_average_goes_on_from_its_state(recipe):
    averaging = edited(recipe, ema_decay=0.75)
    ours, again = stepper(averaging), stepper(averaging)
    for resumed in (False, True):
        if resumed:
            again.result.load_state_dict(ours.result.state_dict())
            again.restore(deepcopy(ours.state()))
        for each in (ours, again) if resumed else (ours,):
            stepped(each)
    for one, other in ((ours.model, again.model), (ours.result, again.result)):
        for name, tensor in one.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor), name


def test_without_an_average_the_network_itself_is_the_result(recipe):
    ours = stepper(edited(recipe))
    assert ours.result is ours.model
    assert ours.state().keys() == {"optimizer", "scaler"}


def test_the_norm_is_that_before_clipping(recipe):
    free, clipped = stepper(edited(recipe)), stepper(edited(recipe, clip_grad_norm=0.01))
    norms = [s.gradient(list(batches([4])), 4).norm for s in (free, clipped)]
    assert norms[0] == norms[1] > 0.01
    flat = torch.cat([gradient.flatten() for gradient in gradients(clipped).values()])
    assert flat.norm().item() == pytest.approx(0.01, rel=1e-3)


def stepped(stepper):
    """Its norms' weights and statistics, before and after a step."""
    norms = [m for m in stepper.model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [deepcopy(norm.state_dict()) for norm in norms]
    stepper.gradient(list(batches([2, 2])), 4)
    stepper.apply(0.1)
    return norms, before


def moved(norms, before):
    """For each norm, which of its tensors are others now."""
    return [
        {name for name, tensor in norm.state_dict().items() if not torch.equal(tensor, old[name])}
        for norm, old in zip(norms, before, strict=True)
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_all_norms_but_the_first_may_stay_as_they_start(recipe, optimizer):
    partial = edited(recipe, optimizer=optimizer, frozen_norms="but_first")
    ours = stepper(partial)
    for _ in range(2):
        ours.model.eval()  # as a validation between two steps does
        norms, before = stepped(ours)
        changed = moved(norms, before)
        assert changed[0] == set(before[0])
        assert not any(changed[1:])
        assert [norm.training for norm in norms] == [True, *[False] * (len(norms) - 1)]
    assert all(p.grad is None for norm in norms[1:] for p in norm.parameters())
    assert ours.model.training
    resumed = stepper(partial)
    resumed.model.load_state_dict(ours.model.state_dict())
    resumed.restore(deepcopy(ours.state()))  # as a checkpoint holds it
    for each in (ours, resumed):
        stepped(each)
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


@pytest.mark.parametrize(("optimizer", "norms"), [("sgd", "none"), ("adamw", "but_first")])
def test_frozen_parts_stay_as_they_start(recipe, optimizer, norms):
    ours = stepper(
        edited(recipe, optimizer=optimizer, frozen=("stem", "layer1"), frozen_norms=norms)
    )
    before = {name: tensor.clone() for name, tensor in ours.model.state_dict().items()}
    stepped(ours)
    changed = {n for n, tensor in ours.model.state_dict().items() if not before[n].equal(tensor)}
    frozen = ("backbone.conv1", "backbone.bn1", "backbone.layer1")
    assert not any(name.startswith(frozen) for name in changed)
    assert ("backbone.layer2.0.bn1.running_mean" in changed) == (norms == "none")
    learning = {name for name in dict(ours.model.named_parameters()) if not name.startswith(frozen)}
    assert learning - changed == (
        set() if norms == "none" else {name for name in learning if re.search(r"bn\d|\.1\.", name)}
    )
    in_optimizer = {p for group in ours.optimizer.param_groups for p in group["params"]}
    assert in_optimizer == {p for n, p in ours.model.named_parameters() if n in learning}


def test_fp16_trains_with_a_loss_scale_that_does_not_show(recipe):
    half = stepper(edited(recipe, "fp16", optimizer="sgd", lr=0.1, lr_batch_size=4))
    full = stepper(edited(recipe))
    told, exact = (s.gradient(list(batches([4])), 4) for s in (half, full))
    assert half.state()["scaler"]["scale"] == 65536
    assert told.loss_sum == pytest.approx(exact.loss_sum, rel=1e-2)
    assert told.norm == pytest.approx(exact.norm, rel=0.1)
    before = half.model.fc.weight.clone()
    assert half.accepts(told)
    half.apply(0.1)
    assert not torch.equal(half.model.fc.weight, before)


def overflow(half):
    """A step of fp16 whose gradient overflows."""
    half.gradient(list(batches([1])), 1)
    half.model.fc.weight.grad.fill_(math.inf)
    half.scaler._per_optimizer_states.clear()  # it was spoilt after the scaler had looked
    half.scaler.unscale_(half.optimizer)
    return engine.Gradient(1.0, 0, math.inf, ())


def test_fp16_skips_steps_that_overflow_until_there_are_too_many(recipe, monkeypatch):
    monkeypatch.setattr(engine, "MOST_SKIPPED", 2)
    half = stepper(edited(recipe, "fp16"))
    before = half.model.fc.weight.clone()
    for is_fine in (True, True, False):
        assert half.accepts(overflow(half)) == is_fine
        half.apply(0.1)
    assert torch.equal(half.model.fc.weight, before)
    assert half.scaler.get_scale() == 65536 / 8
    assert half.accepts(engine.Gradient(1.0, 0, 1.0, ()))
    assert half.accepts(overflow(half))


def test_a_step_that_fp16_skips_does_not_count_in_the_average(recipe):
    half = stepper(edited(recipe, "fp16", ema_decay=0.5))
    assert half.accepts(overflow(half))
    half.apply(0.1)
    assert half.state()["num_averaged"] == 0


def test_fp16_does_not_excuse_a_loss_that_is_not_finite(recipe):
    half = stepper(edited(recipe, "fp16"))
    assert not half.accepts(engine.Gradient(math.nan, 0, math.nan, ()))


def test_the_scale_of_fp16_is_restored(recipe):
    half = stepper(edited(recipe, "fp16"))
    overflow(half)
    half.apply(0.1)
    again = stepper(edited(recipe, "fp16"))
    again.restore(half.state())
    assert again.scaler.get_scale() == half.scaler.get_scale() == 32768


def test_the_videos_of_a_loss_that_is_not_finite_are_suspects(recipe, monkeypatch):
    ours = stepper(edited(recipe))
    real, calls = ours.network, []

    def network(videos):
        calls.append(videos)
        return real(videos) * (math.nan if len(calls) == 2 else 1.0)

    ours.network = network
    told = ours.gradient(list(batches([2, 2, 1])), 5)
    assert told.suspects == (2, 3)
    assert math.isnan(told.loss_sum)
    assert not ours.accepts(told)


class Tiny(Network):
    """Compiles quickly."""

    def __init__(self, view):
        super().__init__(view, 16)
        self.fc = nn.Linear(3, 16)

    def logits(self, videos):
        return self.fc(videos.mean((1, 3, 4)))


def tiny(recipe, compile_with=None):
    torch.compiler.reset()
    torch.manual_seed(0)
    return Stepper(Tiny(recipe.model.view), edited(recipe), CPU, compile_with)


class TwoHeads(Tiny):
    def __init__(self, view):
        super().__init__(view)
        self.norm = nn.BatchNorm1d(3)
        self.auxiliary = nn.Linear(3, 16)

    def logits(self, videos):
        features = self.norm(videos.mean((1, 3, 4)))
        return (self.fc(features), self.auxiliary(features)) if self.training else self.fc(features)


def two_heads(recipe, compile_with=None):
    torch.compiler.reset()
    torch.manual_seed(0)
    return Stepper(TwoHeads(recipe.model.view), edited(recipe), CPU, compile_with)


@pytest.mark.parametrize("backend", [None, "aot_eager"])
def test_half_the_auxiliary_head_s_loss_is_added(recipe, backend):
    ours = two_heads(recipe, backend)
    (batch,) = batches([5])
    told = ours.gradient([batch], 5)
    model = two_heads(recipe).model.train()
    scores, auxiliary = model(engine.normalise(batch.pixels, model.view, CPU))
    own, other = (nn.functional.cross_entropy(head, batch.labels) for head in (scores, auxiliary))
    loss = own + 0.5 * other
    loss.backward()
    assert told.loss_sum == pytest.approx(5 * loss.item(), rel=1e-5)
    assert told.correct == (scores.argmax(1) == batch.labels).sum()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients(ours)[name], parameter.grad)


def test_a_share_without_videos_joins_in_with_both_heads_and_leaves_the_norms_alone(recipe):
    ours = two_heads(recipe)
    before = {name: buffer.clone() for name, buffer in ours.model.named_buffers()}
    ours._join_in()
    assert all(gradient is not None for gradient in gradients(ours).values())
    assert not any(gradient.any() for gradient in gradients(ours).values())
    for name, buffer in ours.model.named_buffers():
        assert torch.equal(buffer, before[name]), name


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_network_gives_the_same_gradient(recipe, backend):
    plain, compiled = tiny(recipe), tiny(recipe, backend)
    one, other = (s.gradient(list(batches([3])), 3) for s in (plain, compiled))
    assert other.loss_sum == pytest.approx(one.loss_sum, rel=1e-5)
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(compiled)[name], gradient)
    assert compiled.model.state_dict().keys() == plain.model.state_dict().keys()


def test_what_cannot_be_compiled_is_one_line(recipe):
    def backend(graph, inputs):
        raise RuntimeError("no compiler here")

    message = "--compile: torch.compile failed: .*raised: RuntimeError: no compiler here$"
    with pytest.raises(StsmError, match=message) as error:
        tiny(recipe, backend).gradient(list(batches([2])), 2)
    assert error.value.hint == "train without --compile"


def test_another_error_of_the_network_stays_what_it_is(recipe):
    ours = stepper(edited(recipe))

    def network(videos):
        raise RuntimeError("a bug")

    ours.network = network
    with pytest.raises(RuntimeError, match="a bug"):
        ours.gradient(list(batches([2])), 2)


def test_a_batch_too_big_for_the_memory_is_told_with_the_cure(recipe, monkeypatch):
    def too_big(self, videos):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Stepper, "_logits", too_big)
    message = "^cpu: not enough memory for 3 videos at once$"
    with pytest.raises(StsmError, match=message) as error:
        stepper(edited(recipe, accumulate=2)).gradient(list(batches([3])), 3)
    assert "optim.accumulate (now 2)" in error.value.hint
