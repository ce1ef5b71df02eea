import pytest

from stsm_cli.engine.protocol import edit_protocol
from stsm_cli.errors import UsageError


def test_a_name_round_trips(recipe):
    assert edit_protocol(recipe, protocol="synth-2x10@12").protocol == "synth-2x10@12"
    assert edit_protocol(recipe, protocol="1x3@18").protocol == "synth-1x3@18"


def test_edits_rename_the_result(recipe):
    assert edit_protocol(recipe, crops=3).protocol == "synth-1x3@16"
    assert edit_protocol(recipe, clips=2).protocol == "synth-2x1@16"
    assert edit_protocol(recipe, protocol="1x1@12", crops=10).protocol == "synth-1x10@12"


def test_nothing_asked_is_the_recipes_own(recipe):
    assert edit_protocol(recipe) == recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "three"}, r"--protocol three: not of the form"),
        ({"protocol": "k400-10x3@256"}, "belongs to k400, the run's data set is synth"),
        ({"crops": 4}, r"test\.crops Input should be 1, 3 or 10, got 4"),
        ({"clips": 10}, r"test\.clips \(10\) must be 1 or 2 with uniform sampling"),
        ({"protocol": "1x1@19"}, r"test\.crop_px \(19\) must be at most data\.short_side_px"),
    ],
)
def test_what_does_not_fit_is_refused(recipe, options, message):
    with pytest.raises(UsageError, match=message):
        edit_protocol(recipe, **options)
