from stsm_cli.analysis.shared import in_words, shared_settings


def places(dataset, table, row):
    return [found for found in shared_settings(dataset) if (table, row) in found]


def test_a_setting_of_six_tables_is_one():
    assert places("synth", 1, "3/8") == [
        (
            (1, "3/8"),
            (3, "T+H+W"),
            (4, "STSM R-50"),
            (5, "STSM R-50 8f"),
            (6, "STSM R-50"),
            (7, "STSM R-50 8f"),
        )
    ]


def test_a_setting_of_one_table_is_not_shared():
    assert places("synth", 2, "HW") == []


def test_on_real_data_tsn_is_one_setting():
    # tested with the mean of scores everywhere; on Kinetics-400 Table 3 starts elsewhere
    assert [[table for table, _ in found] for found in places("k400", 1, "0")] == [[1, 2, 4, 6]]
    assert [[table for table, _ in found] for found in places("sthv2", 1, "0")] == [[1, 2, 3, 5, 7]]


def test_in_words():
    assert (
        in_words([(2, "T"), (4, "TSM R-50"), (3, "T")]) == "T in Tables 2, 3; TSM R-50 in Table 4"
    )
