from typing import get_args

import pytest

from stsm_cli.config.load import load_yaml
from stsm_cli.config.schema import DatasetName
from stsm_cli.data.catalog import DatasetCard, load_card, partner_labels
from stsm_cli.data.mirror import find_mirror
from stsm_cli.data.synth import CLASSES
from stsm_cli.errors import DataError
from stsm_cli.resources import resource_dir

CARDS = sorted(path.stem for path in resource_dir("datasets").glob("*.yaml"))
KEYS = {"title", "source", "licence", "num_classes", "classes", "videos", "layouts"}


def test_there_is_a_card_for_every_data_set_of_a_recipe():
    assert sorted(get_args(DatasetName)) == CARDS


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_what_a_reader_needs(name):
    content = load_yaml(resource_dir("datasets") / f"{name}.yaml")
    assert set(content) - {"paper", "pairs"} == KEYS | {"mirror_pairs", "reverse_pairs"}
    assert all(counts["present"] <= counts["listed"] for counts in content["videos"].values())


@pytest.mark.parametrize("name", CARDS)
def test_no_class_is_in_two_pairs(name):
    card = load_card(name)
    factors = tuple(pair for pairs in card.factors.values() for pair in pairs)
    for pairs in (card.mirror_pairs, card.reverse_pairs, factors):
        names = [name for pair in pairs for name in pair]
        assert len(names) == len(set(names))


def test_kinetics_has_400_classes_and_no_pairs():
    assert load_card("k400") == DatasetCard("k400", "Kinetics-400", 400, (), (), {})


def test_something_something_mirrors_three_pairs_of_neighbours():
    card = load_card("sthv2")
    assert card.num_classes == 174
    assert len(card.mirror_pairs) == 3
    assert card.reverse_pairs == ()
    # the labels that MMAction2 1.2 swaps, with the names in their alphabetical places
    classes = [f"class {i}" for i in range(174)]
    for first, pair in zip((86, 93, 166), card.mirror_pairs, strict=True):
        assert sorted(pair) == list(pair)  # alphabetical order is label order
        classes[first : first + 2] = pair
    labels = find_mirror("sthv2", classes).labels(classes)
    moved = {i: int(label) for i, label in enumerate(labels) if label != i}
    assert moved == {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}


def test_the_embedded_set_reverses_neighbours():
    card = load_card("synth")
    assert card.num_classes == len(CLASSES)
    assert partner_labels(card, CLASSES).tolist() == [label ^ 1 for label in range(16)]


def test_the_embedded_set_mirrors_what_goes_sideways():
    labels = find_mirror("synth", CLASSES).labels(CLASSES)
    moved = {CLASSES[i]: CLASSES[label] for i, label in enumerate(labels) if label != i}
    assert moved == {
        "left_to_right": "right_to_left",
        "right_to_left": "left_to_right",
        "rotate_cw": "rotate_ccw",
        "rotate_ccw": "rotate_cw",
        "left_first": "right_first",
        "right_first": "left_first",
    }


def test_swapping_twice_is_the_identity():
    mirrored = find_mirror("synth", CLASSES).labels(CLASSES)
    for swapped in (mirrored, partner_labels(load_card("synth"), CLASSES)):
        assert swapped[swapped].tolist() == list(range(16))
        assert swapped.tolist() != list(range(16))


def test_a_class_that_the_list_lacks_is_named():
    card = load_card("synth")
    message = r"datasets/synth\.yaml pairs 'left_first', a class that the list of 15 classes lacks"
    others = [name for name in CLASSES if name != "left_first"]
    with pytest.raises(DataError, match=message):
        find_mirror("synth", others).labels(others)
    without_both = [name for name in others if name != "right_first"]
    assert find_mirror("synth", without_both).labels(without_both).max() == 13
    with pytest.raises(DataError, match=r"pairs 'cover', a class that the list of 14 classes"):
        partner_labels(card, CLASSES[:14])


def test_an_unknown_data_set_is_named():
    with pytest.raises(DataError, match="no data set 'ucf102'") as caught:
        load_card("ucf102")
    assert caught.value.hint == f"there are {', '.join(CARDS)}"
