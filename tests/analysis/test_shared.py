from stsm_cli.analysis.shared import elsewhere, in_words, shared_runs


def test_a_setting_of_four_tables_is_one_run():
    (places,) = [places for places in shared_runs("synth") if (1, "3/8") in places]
    assert places == (
        (1, "3/8"),
        (3, "T+H+W"),
        (4, "STSM R-50"),
        (5, "STSM R-50 8f"),
        (6, "STSM R-50"),
        (7, "STSM R-50 8f"),
    )


def test_rows_by_the_tables_that_show_them_too():
    assert elsewhere(3, ["TSN", "T", "T+H+W", "TH+TW+HW"], "synth") == (
        "TSN, T+H+W in Table 1; TSN, T in Table 2; TSN, T, T+H+W in Tables 4, 5, 6, 7"
    )
    assert elsewhere(2, ["HW"], "synth") == ""


def test_on_real_data_tsn_is_one_setting_in_every_table():
    # tested with the mean of scores; on Kinetics-400 Table 3 starts elsewhere
    assert elsewhere(1, ["0"], "k400") == "0 in Tables 2, 4, 6"
    assert elsewhere(1, ["0"], "sthv2") == "0 in Tables 2, 3, 5, 7"


def test_in_words():
    assert (
        in_words([(2, "T"), (4, "TSM R-50"), (3, "T")]) == "T in Tables 2, 3; TSM R-50 in Table 4"
    )
