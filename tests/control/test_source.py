import io

import orjson
import pytest
import yaml

from gateway.control.problems import ConfigErrors
from gateway.control.source import compile_file, read_source
from tests.control.support import GOOD, REGISTRY, good


def write(path, data):
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def refused(path):
    with pytest.raises(ConfigErrors) as caught:
        compile_file(path, REGISTRY)
    return [(problem.file.rpartition("/")[2], problem.line, str(problem)) for problem in caught.value.problems]


def test_yaml_and_json_mean_the_same(tmp_path):
    as_yaml = compile_file(write(tmp_path / "a.yaml", GOOD), REGISTRY)
    (tmp_path / "b.json").write_bytes(orjson.dumps(GOOD))
    assert compile_file(tmp_path / "b.json", REGISTRY).document == as_yaml.document


def test_says_which_files_to_watch(tmp_path):
    (tmp_path / "key").write_text("alice's")
    data = good(consumers=[{"name": "alice", "credentials": [{"plugin": "key", "config": {"key": "$file:key"}}]}])
    path = write(tmp_path / "a.yaml", data)
    assert compile_file(path, REGISTRY).files == {str(path), str(tmp_path / "key")}


def test_puts_the_lists_of_a_directory_together(tmp_path):
    rest = {key: value for key, value in GOOD.items() if key not in ("consumers", "routes")}
    write(tmp_path / "10-base.yaml", {**rest, "routes": GOOD["routes"][:1]})
    (tmp_path / "20-people.json").write_bytes(orjson.dumps({"consumers": GOOD["consumers"]}))
    write(tmp_path / "30-more.yml", {"version": 1, "routes": GOOD["routes"][1:], "pools": None})
    (tmp_path / "notes.txt").write_text("not a configuration")
    (tmp_path / ".hidden.yaml").write_text("{")
    found = compile_file(tmp_path, REGISTRY)
    assert found.document == compile_file(write(tmp_path.parent / "all.yaml", GOOD), REGISTRY).document
    assert len(found.files) == 4  # three files and the directory


def test_places_problems_of_a_directory_in_their_files(tmp_path):
    write(tmp_path / "a.yaml", {**GOOD, "colour": "red"})
    (tmp_path / "b.yaml").write_text("routes:\n  - name: third\n    pool: nowhere\n")
    assert refused(tmp_path) == [
        ("a.yaml", len((tmp_path / "a.yaml").read_text().splitlines()), "colour: unknown key"),
        ("b.yaml", 3, "routes[2].pool: there is no pool 'nowhere'"),
    ]


def test_refuses_files_that_contradict_each_other(tmp_path):
    write(tmp_path / "a.yaml", {"version": 1, "observe": {"tracing": {"one_in": 1}}})
    write(tmp_path / "b.yaml", {"version": 2, "observe": {"tracing": {"one_in": 2}}})
    (tmp_path / "c.yaml").write_text("- 1")
    assert [(file, text) for file, _, text in refused(tmp_path)] == [
        ("b.yaml", "version: is in another file already, and differs"),
        ("b.yaml", "observe: is in another file already, and differs"),
        ("c.yaml", "should be a mapping that begins with `version: 1`"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("a.yaml", "a: [", 2, "is not YAML"),
        ("a.json", '{"a": 1,}', 1, "is not JSON"),
        ("a.json", '{"a": {"b": 1, "b": 2}}', 0, "b: is there twice in one object"),
        ("a.yaml", '{"a": 1, "a": 2}', 0, "a: is there twice in one object"),
        ("a.yaml", "version: 1\nversion: 1", 2, "version: is there twice"),
        ("a.yaml", b"\xff\xfe", 0, "is not UTF-8 text (octet 0)"),
    ],
)
def test_refuses_a_file_that_is_not_what_it_should_be(tmp_path, name, content, line, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ((file, found, text),) = refused(path)
    assert (file, found) == (name, line) and message in text


def test_refuses_what_cannot_be_read(tmp_path):
    assert refused(tmp_path / "none.yaml") == [("none.yaml", 0, "cannot be read: No such file or directory")]
    (tmp_path / "empty").mkdir()
    assert "there is no file *.yaml" in refused(tmp_path / "empty")[0][2]


def test_reads_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(GOOD)))
    assert read_source("-").data == GOOD


def test_warnings_are_placed_too(tmp_path):
    path = write(tmp_path / "a.yaml", good(pools=[*GOOD["pools"], {"name": "empty"}]))
    (warning,) = compile_file(path, REGISTRY).warnings
    assert (warning.file, warning.path) == (str(path), "pools[1].members") and warning.line > 1
