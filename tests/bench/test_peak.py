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
    assert peak_bytes(lambda: before[:10] + 1, CPU) in (40, 4040)  # a view is of old memory
    assert peak_bytes(lambda: before.sum(), CPU) == 4
