from pathlib import Path

from gateway.control.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_models_say():
    assert PAGE.read_text() == reference(), "write it anew: gateway schema --markdown > docs/configuration.md"


def test_says_type_bounds_default_and_meaning_of_a_field():
    assert (
        "| `weight` | whole number, at most 65,535 | `1` | Share of the traffic, relative to the others; 0 = no new requests |"
        in reference()
    )


def test_leaves_out_what_people_never_write():
    assert "`seen`" not in reference()
