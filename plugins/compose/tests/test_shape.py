import pytest
from gateway_compose.shape import Missing, drop, keep, rename, split, take, tree_of

USER = {"id": 7, "name": {"first": "Ada", "last": "L"}, "tags": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "a.b": True}


@pytest.mark.parametrize(("path", "keys"), [("a", ("a",)), ("a.b", ("a", "b")), (r"a\.b.c", ("a.b", "c"))])
def test_a_dotted_path_is_keys(path, keys):
    assert split(path) == keys


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b"])
def test_a_key_is_not_empty(path):
    with pytest.raises(ValueError, match="empty key"):
        split(path)


@pytest.mark.parametrize(("path", "value"), [("id", 7), ("name.first", "Ada"), ("tags.1.k", "b"), (r"a\.b", True)])
def test_takes_what_lies_at_a_path(path, value):
    assert take(USER, split(path)) == value


@pytest.mark.parametrize("path", ["none", "id.x", "name.first.x", "tags.2", "tags.-1", "tags.k", "tags.²"])
def test_a_path_that_leads_nowhere_is_missing(path):
    with pytest.raises(Missing):
        take(USER, split(path))


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        (["id"], {"id": 7}),
        (["name.first", "none.x"], {"name": {"first": "Ada"}}),
        (["name.first", "name"], {"name": {"first": "Ada", "last": "L"}}),
        (["tags.v"], {"tags": [{"v": 1}, {"v": 2}]}),
        (["id.x"], {}),
    ],
)
def test_keeps_only_what_is_named(paths, left):
    assert keep(USER, tree_of(paths)) == left


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        (["id", "tags", r"a\.b"], {"name": {"first": "Ada", "last": "L"}}),
        (["name.last", "id", "a", r"a\.b", "tags.v"], {"name": {"first": "Ada"}, "tags": [{"k": "a"}, {"k": "b"}]}),
        (["tags.v", "tags.k", "name", "id.x", r"a\.b"], {"id": 7, "tags": [{}, {}]}),
    ],
)
def test_drops_what_is_named(paths, left):
    assert drop(USER, tree_of(paths)) == left


def test_renames_keys_where_they_stand():
    names = {"id": "number", "name": "person", "name.first": "given", "tags.k": "key"}
    renamed = rename(USER, tree_of(names))
    assert renamed == {
        "number": 7,
        "person": {"given": "Ada", "last": "L"},
        "tags": [{"key": "a", "v": 1}, {"key": "b", "v": 2}],
        "a.b": True,
    }
    assert list(renamed) == ["number", "person", "tags", "a.b"]
    assert rename({"a": 1, "b": 2}, tree_of({"a": "b", "b": "a"})) == {"b": 1, "a": 2}


@pytest.mark.parametrize("step", [keep, drop, rename])
def test_values_without_keys_stay(step):
    tree = tree_of({"a": "b"})
    assert [step(value, tree) for value in (1, "x", None, [1, None])] == [1, "x", None, [1, None]]
