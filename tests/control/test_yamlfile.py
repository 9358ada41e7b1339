import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.control import yamlfile
from gateway.control.yamlfile import YamlErrors, parse, positions


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("22:30", "22:30"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("2024-05-01", "2024-05-01"),
        ("=", "="),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_reads_plain_words_by_yaml_1_2(text, value):
    assert parse(f"a: {text}") == {"a": value}


def test_a_key_named_on_is_the_word_on():
    assert parse("retries: {on: [reset], off: no}") == {"retries": {"on": ["reset"], "off": "no"}}


def test_keys_are_always_text():
    assert parse("{200: a, true: b, ~: c}") == {"200": "a", "true": "b", "~": "c"}


def test_merges_mappings_with_what_stands_there_winning():
    text = "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\na: {<<: *b, y: 5}\nc: {<<: [*b, *o]}\n"
    assert parse(text)["a"] == {"x": 1, "y": 5}
    assert parse(text)["c"] == {"x": 1, "y": 2, "z": 4}


def test_an_empty_text_is_nothing():
    assert parse("") is None and parse("# only a comment\n") is None


@pytest.mark.parametrize(
    ("text", "path", "message", "line"),
    [
        ("a: 1\nb: 2\na: 3", "a", "is there twice, first on line 1", 3),
        ("x:\n  - a: 1\n    a: 2", "x[0].a", "is there twice, first on line 2", 3),
        ("a: [1", "", "is not YAML", 2),
        ("a: 1\n\tb: 2", "", "is not YAML", 2),
        ("a: \x01", "", "is not YAML", 0),
        ("a: &a [*a]", "a[0]", "contains itself", 1),
        ("a: *b", "a", "refers to *b, which is nowhere above", 1),
        ("a: !!python/object:os.system x", "a", "tags are not supported", 1),
        ("a: !vault [1]", "a", "tags are not supported", 1),
        ("? [a]\n: 1", "", "has a key that is not text", 1),
        ("a: {<<: 5}", "a", "merges (<<) something that is not a mapping", 1),
        ("a: 1\n---\nb: 2", "", "has more than one document", 2),
        ("[" * 100_000, "", "is nested too deeply", 1),
        ("- " * 100, "", "is nested too deeply", 1),
    ],
)
def test_refuses(text, path, message, line):
    with pytest.raises(YamlErrors) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == (path, line) and message in problem.message


def test_reports_every_repeated_key():
    with pytest.raises(YamlErrors) as caught:
        parse("a: 1\na: 2\nb: {c: 1, c: 2}")
    assert [problem.path for problem in caught.value.problems] == ["a", "b.c"]


def test_refuses_a_small_text_that_means_a_huge_value():
    bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    with pytest.raises(YamlErrors, match="more than 10000000 values"):
        parse(bomb)


def test_says_where_things_are_or_what_is_around_them():
    text = "version: 1\nroutes:\n  - name: a\n    match: {paths: [/a, /b]}\n  - name: b\n"
    wanted = [("routes", 0, "match", "paths", 1), ("routes", 1), ("routes", 1, "pool"), ("routes",), (), ("nothing", 3)]
    assert list(positions(text, wanted)) == [(4, 25), (5, 5), (5, 5), (2, 1), (1, 1), (1, 1)]


def test_says_where_things_are_in_json_and_before_a_fault():
    assert list(positions('{\n\t"a": {\n\t"b": 1}}', [("a", "b")])) == [(3, 2)]
    assert list(positions("a: 1\nb: 2\nc: [", [("b",), ("c", 5)])) == [(2, 1), (3, 1)]


@pytest.mark.parametrize(
    "word", ["on", "1e3", "0o17", "1_000", "null", "", "22:30", "2024-05-01", "a: b", "-----BEGIN\nX\n", "é", "0x1F", "~", "<<", "="]
)
def test_writes_text_that_both_versions_of_yaml_read_as_text(word):
    written = yamlfile.dump({"key": [word, {word or "x": 1}]})
    assert parse(written) == yaml.safe_load(written) == {"key": [word, {word or "x": 1}]}


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t~<0.1é\x00\ufeff"), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_data_or_a_problem(text):
    try:
        data = parse(text)
    except YamlErrors as error:
        assert error.problems
    else:
        assert parse(yamlfile.dump(data)) == data
