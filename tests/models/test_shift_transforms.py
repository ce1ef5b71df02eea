"""The shift under the transforms of `torch.func`, and in forward mode."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from stsm_cli.models.shift import ShiftedConv, shift

# PyTorch's own forward mode compiles its formulas by torch.jit.script
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script.")
SHAPES = pytest.mark.parametrize("shape", [(4, 8, 3, 2), (2, 8, 2, 3, 2)], ids=["frames", "3d"])


def moved(x):
    return shift(x, num_frames=2, dims="T+H+W+TH", alpha="3/4")


def energy(x):
    return moved(x).pow(3).sum()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture
def site():
    conv = nn.Conv2d(8, 3, 3, padding=1).double()
    return ShiftedConv(conv, num_frames=2, dims="T+H+W", alpha="3/4")


@SHAPES
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_vmap_is_one_after_the_other(shape, axis):
    batches = random(3, *shape)
    expected = torch.stack([moved(x) for x in batches])
    out = vmap(moved, in_dims=axis, out_dims=axis)(batches.movedim(0, axis))
    assert torch.equal(out.movedim(axis, 0), expected)


def test_vmap_of_vmap_and_of_none():
    batches = random(2, 3, 4, 8, 3, 2)
    expected = torch.stack([vmap(moved)(x) for x in batches])
    assert torch.equal(vmap(vmap(moved))(batches), expected)
    assert vmap(moved)(batches[:, :, :0].flatten(0, 1)).shape == (6, 0, 8, 3, 2)


@SHAPES
def test_grad_and_vjp_are_those_of_backward(shape):
    x, seed = random(*shape).requires_grad_(), random(*shape)
    (by_backward,) = torch.autograd.grad(energy(x), x)
    assert torch.equal(grad(energy)(x.detach()), by_backward)
    (by_seed,) = torch.autograd.grad(moved(x), x, seed)
    assert torch.equal(vjp(moved, x.detach())[1](seed)[0], by_seed)


@SHAPES
def test_it_is_its_own_derivative(shape):
    x, direction = random(2, *shape)
    assert torch.equal(jvp(moved, (x,), (direction,))[1], moved(direction))
    with forward_ad.dual_level():
        out = moved(forward_ad.make_dual(x, direction))
        assert torch.equal(forward_ad.unpack_dual(out).tangent, moved(direction))


def test_jacobians_and_hessians_agree():
    x = random(2, 8, 2, 1)
    assert torch.equal(jacrev(moved)(x), jacfwd(moved)(x))
    torch.testing.assert_close(
        hessian(energy)(x), torch.autograd.functional.hessian(energy, x), rtol=1e-12, atol=0
    )


def test_gradients_of_each_sample_are_those_of_it_alone(site):
    weights, batches = dict(site.named_parameters()), random(3, 4, 8, 5, 4)

    def loss(weights, x):
        return functional_call(site, weights, (x,)).pow(2).sum()

    by_sample = vmap(grad(loss), in_dims=(None, 0))(weights, batches)
    for i, x in enumerate(batches):
        site.zero_grad()
        site(x.requires_grad_()).pow(2).sum().backward()
        for name, parameter in site.named_parameters():
            torch.testing.assert_close(by_sample[name][i], parameter.grad)


def test_forward_over_reverse_through_the_convolution(site):
    x, direction = random(2, 4, 8, 5, 4)

    def weight_gradient(x):
        weight = site.net.weight
        return torch.autograd.grad(site(x).pow(2).sum(), weight, create_graph=True)[0]

    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x.requires_grad_(), direction)
        tangent = forward_ad.unpack_dual(weight_gradient(dual)).tangent
    step = 1e-4  # the gradient is quadratic in x: central differences are exact
    ahead, behind = (weight_gradient(x + sign * step * direction) for sign in (1, -1))
    torch.testing.assert_close(tangent, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("transformed", "shape"), [(vmap(moved), (3, 4, 8, 3, 2)), (grad(energy), (4, 8, 3, 2))]
)
def test_transforms_compile(transformed, shape):
    x = random(*shape)
    compiled = torch.compile(transformed, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), transformed(x))
