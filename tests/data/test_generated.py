"""What holds of every data set that is made here."""

import json
from typing import get_args

import pytest

from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.schema import DataConfig
from stsm_cli.data.catalog import known_counts, load_card, partner_labels, swapped_labels
from stsm_cli.data.content import data_id_at, split_id
from stsm_cli.data.counts import prepared_as
from stsm_cli.data.generated import GENERATED, make_where_absent
from stsm_cli.data.manifest import read_manifest
from stsm_cli.data.mirror import find_mirror
from stsm_cli.errors import DataError

every = pytest.mark.parametrize("name", GENERATED)


def config(name, settings=None):
    return DataConfig(dataset=name, sampling="uniform", **{name: settings})


def few(name, **counts):
    """Settings of a small set: a video in each split that is not said otherwise."""
    kind = GENERATED[name].settings
    return kind(**dict.fromkeys(kind().splits, 1) | counts)


def test_the_table_has_every_generated_set_of_the_schema():
    assert set(GENERATED) == set(get_args(GeneratedName))


@every
def test_its_settings_are_the_section_of_its_name(name):
    settings = few(name, train=3)
    assert config(name, settings).generated is settings
    with pytest.raises(ValueError, match=f"`dataset: {name}` needs a section `{name}`"):
        config(name)
    with pytest.raises(ValueError, match=f"a `{name}` section belongs to `dataset: {name}`"):
        DataConfig(dataset="folder", sampling="uniform", **{name: settings})


@every
def test_its_card_tells_of_the_same_set(name):
    made, card = GENERATED[name], load_card(name)
    assert card.num_classes == len(made.classes) == len(set(made.classes))
    partner_labels(card, made.classes)  # all refuse a class that there is none of
    swapped_labels(name, card.reverse_pairs, made.classes)
    find_mirror(name, made.classes).labels(made.classes)
    listed = {split: counts["listed"] for split, counts in known_counts(name).items()}
    assert listed == {split: made.settings().num_videos(split) for split in made.settings().splits}


@every
def test_it_is_made_where_it_is_absent_and_then_known(name, tmp_path):
    made, root = GENERATED[name], tmp_path / "set"
    settings = few(name, train=2)
    assert not made.check(root, settings)
    assert not made.is_at(root)
    make_where_absent(config(name, settings), root)
    assert made.check(root, settings)
    assert made.is_at(root)
    assert prepared_as(root) == name
    for split in settings.splits:
        manifest = read_manifest(root, split)
        assert (manifest.classes, len(manifest.records)) == (
            made.classes,
            settings.num_videos(split),
        )
        assert split_id(name, manifest) == data_id_at(name, root) == made.identify()
    report = made.make(root, settings)
    assert (report["made"], report["videos"]["train"], report["videos"]["val"]) == (0, 2, 1)
    assert report["bytes"] > 0
    json.dumps(report)


@every
def test_workers_make_the_same_videos(name, tmp_path):
    made, settings = GENERATED[name], few(name, train=8)
    for workers in (1, 2):
        made.make(tmp_path / str(workers), settings, workers=workers)
    for record in read_manifest(tmp_path / "1", "train").records:
        alone, beside = (tmp_path / str(workers) / record.path for workers in (1, 2))
        assert alone.read_bytes() == beside.read_bytes()


@every
def test_other_settings_are_another_set(name, tmp_path):
    made, settings = GENERATED[name], few(name)
    make_where_absent(config(name, settings), tmp_path)
    other = few(name, val=2)
    for do in (made.check, made.make):
        with pytest.raises(DataError, match="made with val 1, not 2"):
            do(tmp_path, other)
    assert made.check(tmp_path, settings)


@every
def test_each_split_has_videos_of_its_own(name, tmp_path):
    settings = few(name)
    GENERATED[name].make(tmp_path, settings)
    first = [read_manifest(tmp_path, split).records[0].path for split in settings.splits]
    assert len({(tmp_path / path).read_bytes() for path in first}) == len(settings.splits) >= 2


@every
def test_what_it_is_known_by_begins_with_its_name_and_its_extent_says_how_many_videos(name):
    made = GENERATED[name]
    assert made.identify().startswith(f"{name}/")
    settings = few(name, train=1000)
    assert f"1,{len(settings.splits) - 1:03} videos" in made.extent(settings)
