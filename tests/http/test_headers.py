import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.headers import Headers, index_of, lower_name

SENT = [("Accept", "a"), ("X-One", "1"), ("accept", "b"), ("X-Two", "2")]


@pytest.fixture
def headers():
    return Headers.of(SENT)


def test_keeps_order_case_and_repeats(headers):
    assert list(headers) == SENT
    assert len(headers) == 4


def test_finds_fields_whatever_their_case(headers):
    assert headers.get("ACCEPT") == "a, b"
    assert headers.get_all("aCCept") == ["a", "b"]
    assert headers.octets(b"accept") == b"a, b"
    assert "x-one" in headers
    assert "x-none" not in headers
    assert (headers.get("x-none"), headers.get("x-none", "else"), headers.octets(b"x-none")) == (None, "else", None)


def test_sets_one_value_for_all_of_a_name(headers):
    headers.set("ACCEPT", "c")
    assert list(headers) == [("X-One", "1"), ("X-Two", "2"), ("ACCEPT", "c")]


def test_adds_beside_others_of_the_name(headers):
    headers.add("Accept", " c\t")
    assert headers.get("accept") == "a, b, c"


def test_removes_all_of_a_name_and_nothing_when_absent(headers):
    headers.remove("ACCEPT")
    headers.remove("X-None")
    assert list(headers) == [("X-One", "1"), ("X-Two", "2")]


def test_drops_many_names_at_once(headers):
    headers.discard_all(frozenset({b"accept", b"x-two", b"x-none"}))
    assert list(headers) == [("X-One", "1")]
    headers.discard_all(frozenset({b"x-none"}))
    assert len(headers) == 1


def test_a_copy_changes_alone(headers):
    headers.copy().remove("Accept")
    assert headers.get("Accept") == "a, b"


@pytest.mark.parametrize(("name", "value"), [("a b", "x"), ("", "x"), ("é", "x"), ("a:", "x"), ("X", "a\r\nb"), ("X", "\0"), ("X", "€")])
def test_refuses_what_would_break_the_message(headers, name, value):
    for change in (headers.add, headers.set, Headers.prepare):
        with pytest.raises(ValueError):
            change(name, value)
    assert list(headers) == SENT


def test_names_that_are_long_are_not_remembered():
    from gateway.http.headers import lowered_names

    assert lower_name(b"X-" + b"A" * 100) == b"x-" + b"a" * 100
    assert all(len(name) <= 64 for name in lowered_names)


names = st.sampled_from(["A", "a", "B", "X-Long-Name", "x-long-name"])
operations = st.lists(
    st.tuples(st.sampled_from(["add", "set", "append", "put", "remove"]), names, st.sampled_from(["1", "2, 3", ""])), max_size=20
)


@given(operations)
def test_the_index_follows_every_change_and_prepared_fields_do_the_same(changes):
    plain, prepared = Headers(), Headers()
    for operation, name, value in changes:
        field = Headers.prepare(name, value)
        if operation == "remove":
            plain.remove(name)
            prepared.discard(field[0])
        else:
            getattr(plain, {"append": "add", "put": "set"}.get(operation, operation))(name, value)
            getattr(prepared, {"add": "append", "set": "put"}.get(operation, operation))(field)
        assert plain.index == index_of(plain.fields)
        assert (prepared.fields, prepared.index) == (plain.fields, plain.index)
