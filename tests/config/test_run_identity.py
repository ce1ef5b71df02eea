from stsm_cli.config.load import load_recipe, recipe_hash
from stsm_cli.config.run_identity import Identity, content_hash, init_sha256


def recipe_from(init):
    return load_recipe("synth/stsm", [f"model.init={init}"]).recipe


def test_weights_count_by_their_content(tmp_path):
    for name, content in (("a.pt", b"one"), ("b.pt", b"one"), ("c.pt", b"two")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (
        content_hash(recipe, init_sha256(recipe))
        for recipe in map(recipe_from, ("a.pt", "b.pt", "c.pt"))
    )
    assert a == b != c


def test_a_file_that_changes_is_read_again(tmp_path):
    recipe = recipe_from("a.pt")
    (tmp_path / "a.pt").write_bytes(b"one")
    before = init_sha256(recipe)
    (tmp_path / "a.pt").write_bytes(b"other")
    assert init_sha256(recipe) != before


def test_weights_that_are_not_there_count_by_their_path(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("nowhere.pt", "folder"):
        recipe = recipe_from(name)
        assert init_sha256(recipe) is None
        assert content_hash(recipe, None) == recipe_hash(recipe)


def test_without_weights_it_is_the_recipes_hash():
    recipe = load_recipe("synth/stsm").recipe
    assert init_sha256(recipe) is None
    assert content_hash(recipe, None) == content_hash(recipe, "0" * 64) == recipe_hash(recipe)


def test_runs_are_the_same_as_far_as_their_data_are_known():
    one = Identity("a", "data", 1)
    assert one.is_same(Identity("a", None, 1))
    assert Identity("a", None, 1).is_same(one)
    for other in (Identity("b", "data", 1), Identity("a", "others", 1), Identity("a", "data", 2)):
        assert not one.is_same(other)
