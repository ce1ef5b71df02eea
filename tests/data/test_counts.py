import json

import pytest

from stsm_cli.data.counts import SplitCounts, prepared_as, read_counts, report_path
from stsm_cli.errors import DataError

COUNTS = SplitCounts(listed=10, usable=6, missing=2, corrupt=1, short=1)


def write(root, content):
    report_path(root).parent.mkdir(exist_ok=True)
    report_path(root).write_text(content)


def test_what_a_report_says_is_read(tmp_path):
    assert COUNTS.present == 8
    write(tmp_path, json.dumps({"splits": {"val": COUNTS.as_dict()}}))
    assert read_counts(tmp_path, "val") == COUNTS


def test_a_set_that_nobody_verified_has_no_counts(tmp_path):
    assert read_counts(tmp_path, "val") is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"splits": {"val": {"listed": 1}}}'])
def test_what_is_no_report_is_told(tmp_path, content):
    write(tmp_path, content)
    with pytest.raises(DataError, match=r"report\.json: not a report on val \(") as caught:
        read_counts(tmp_path, "val")
    assert "prepare the data set again" in caught.value.hint


def test_the_report_says_which_data_set_it_is(tmp_path):
    assert prepared_as(tmp_path) is None
    write(tmp_path, '{"dataset": "sthv2"}')
    assert prepared_as(tmp_path) == "sthv2"
    write(tmp_path, "{}")
    with pytest.raises(DataError, match=r"report\.json: not a report on a data set \(KeyError"):
        prepared_as(tmp_path)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("many", r"listed: Input should be a valid integer"),
        (-1, r"listed: Input should be greater"),
    ],
)
def test_counts_are_counts(tmp_path, value, problem):
    counts = COUNTS.as_dict() | {"listed": value}
    write(tmp_path, json.dumps({"splits": {"val": counts}}))
    with pytest.raises(DataError, match=rf"report\.json: not a report on val \({problem}"):
        read_counts(tmp_path, "val")
