import pytest

from stsm_cli.config.schema import OptimConfig
from stsm_cli.engine.batch import plan_batch
from stsm_cli.errors import RecipeError


def config(**changes):
    return OptimConfig(**{"lr": 7.5e-3, "epochs": 10, **changes})


def test_a_batch_is_told_with_its_shares_and_its_learning_rate():
    plan = plan_batch(config(accumulate=4), 2)
    assert str(plan) == "batch 48 = 2 processes x 4 parts x 6 videos, lr 0.0075"
    alone = plan_batch(config(batch_size=24), 1)
    assert str(alone) == "batch 24 = 1 process x 1 part x 24 videos, lr 0.00375"


def test_shares_must_be_equal():
    message = r"optim\.batch_size \(48\) cannot be shared equally among 5 processes x 2 parts"
    with pytest.raises(RecipeError, match=message) as error:
        plan_batch(config(accumulate=2), 5)
    assert error.value.hint == "make it a multiple of 10"
