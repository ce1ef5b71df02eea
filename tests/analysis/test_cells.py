from stsm_cli.analysis.cells import adds, joined, mega


def test_units():
    assert [
        adds(n) for n in (18_345_678, 32_703_643_648, 2_245_189_632_000, 785_731_200 * 10**9)
    ] == [
        "18.3 M",
        "32.70 G",
        "2.25 T",
        "785.73 P",
    ]
    assert mega(24_327_632) == "24.33 M"


def test_what_several_rows_say_is_said_once():
    assert joined(["33G", None, "65G", "33G"]) == "33G, 65G"
    assert joined([None]) == ""
