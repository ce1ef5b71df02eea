import pytest

from stsm_cli.config.batch import check_spread, mixes_nothing, peak_lr, plan_batch, slow_average
from stsm_cli.config.load import load_recipe
from stsm_cli.config.regularisation import LossConfig
from stsm_cli.config.schema import OptimConfig
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
    assert error.value.hint == "make it a multiple of 10, or take another number of processes"
    with pytest.raises(RecipeError, match=r"among 5 processes x 1 part$"):
        plan_batch(config(accumulate=1), 5)


def test_an_epoch_s_steps_and_what_it_leaves_out_are_told():
    plan = plan_batch(config(), 2, 500)
    assert (plan.steps_per_epoch, plan.num_left_out) == (10, 20)
    assert str(plan).endswith("; 10 steps an epoch, each epoch without 20 videos")
    assert str(plan_batch(config(), 2, 49)).endswith(
        "; 1 step an epoch, each epoch without 1 video"
    )
    assert str(plan_batch(config(), 2, 480_000)).endswith("lr 0.0075; 10,000 steps an epoch")


@pytest.mark.parametrize(("parts", "told"), [(1, "12 videos"), (8, "up to 2 videos")])
def test_the_learning_rate_follows_the_videos_that_there_are(parts, told):
    plan = plan_batch(config(accumulate=parts), 1, 12)
    assert (plan.batch_size, plan.wanted, plan.num_left_out) == (12, 48, 0)
    assert plan.lr == peak_lr(config(), 12) == 7.5e-3 * 12 / 48
    part = "1 part" if parts == 1 else "8 parts"
    assert str(plan) == (
        f"batch 12 (all training videos, of 48 that the recipe asks for) = 1 process x {part} x "
        f"{told}, lr 0.001875; 1 step an epoch"
    )


@pytest.mark.parametrize(("decay", "is_told"), [("0.9", False), ("0.99", True)])
def test_an_average_that_outlives_the_run_is_a_warning(decay, is_told):
    optim = config(batch_size=16, ema_decay=float(decay), epochs=2)
    told = slow_average(optim, plan_batch(optim, 1, 16 * 20))
    assert told == is_told * [
        "warning: optim.ema_decay 0.99 remembers about 100 steps and the run has 40: "
        "its average stays near the weights of its first step"
    ]
    assert slow_average(optim, plan_batch(optim, 1)) == []
    assert slow_average(config(), plan_batch(optim, 1, 320)) == []


def test_mixing_without_a_neighbour_is_told():
    optim = config(batch_size=4)
    loss, alone = LossConfig(mixup_alpha=0.2), plan_batch(optim, 4)
    says = "warning: loss.mixup_alpha 0.2 has no effect: a part of a batch is one video"
    assert mixes_nothing(loss, alone) == [says]
    assert mixes_nothing(loss, plan_batch(optim, 2)) == []
    assert mixes_nothing(LossConfig(), alone) == []


def test_each_part_of_a_batch_has_a_video():
    recipe = load_recipe("k400/tsn_r50_8f", ["optim.accumulate=24"]).recipe
    told = r"^23 training videos are too few for 1 process x 24 parts \(optim\.accumulate\)$"
    with pytest.raises(RecipeError, match=told):
        check_spread(recipe, plan_batch(recipe.optim, 1, 23))
    check_spread(recipe, plan_batch(recipe.optim, 1, 24))


@pytest.mark.parametrize(
    ("processes", "videos", "told"),
    [
        (2, None, "48 videos in 48 parts"),
        (1, 47, "47 videos in 24 parts"),
        (1, 24, "24 videos in 24 parts"),
        (1, 48, None),
    ],
)
def test_the_smallest_part_of_a_batch_has_a_spread(processes, videos, told):
    edits = ["model.num_frames=1", "data.crop_px=32", "optim.accumulate=24"]
    recipe = load_recipe("k400/tsn_r50_8f", edits).recipe
    plan = plan_batch(recipe.optim, processes, videos)
    if told is None:
        check_spread(recipe, plan)
        return
    message = r"^data\.crop_px \(32\) must be more than 32 with one video of one frame at a time"
    with pytest.raises(RecipeError, match=message) as error:
        check_spread(recipe, plan)
    assert error.value.hint == (
        f"a step takes {told}: fewer processes, a smaller optim.accumulate or more videos make "
        "larger ones"
    )
