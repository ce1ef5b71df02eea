import torch

from stsm_cli.bench.peak import peak_bytes

CPU = torch.device("cpu")


def test_it_is_the_most_that_is_held_at_once():
    def run():
        first = torch.zeros(1000)  # 4,000 bytes
        del first
        second = torch.zeros(500)
        return second + 1

    assert peak_bytes(run, CPU) == 4000


def test_what_was_there_before_does_not_count():
    before = torch.zeros(1000)
    assert peak_bytes(lambda: before[:10] + 1, CPU) == 40
    assert peak_bytes(lambda: before.sum(), CPU) == 4
    assert peak_bytes(lambda: before.add_(1), CPU) == 0
    assert peak_bytes(lambda: torch.add(before, 1, out=before), CPU) == 0
    assert peak_bytes(lambda: before.detach().view(10, 100).t(), CPU) == 0


def test_what_is_made_counts_as_long_as_a_view_of_it_is_there():
    def run():
        part = torch.zeros(1000)[:10]
        part.add_(1)
        return part + 1

    assert peak_bytes(run, CPU) == 4040


def test_a_step_makes_gradients_and_in_the_first_one_momentum():
    layer = torch.nn.Linear(100, 10)  # 4,040 bytes
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    frames = torch.zeros(1, 100)

    def step():
        optimizer.zero_grad()
        layer(frames).sum().backward()
        optimizer.step()

    assert peak_bytes(step, CPU) == 2 * 4040
    assert 4040 <= peak_bytes(step, CPU) <= 4060  # the loss and its gradient beside them
