from gateway.hooks.scopes import enabled_only, merge
from tests.hooks.support import policy


def words(policies):
    return [(policy.label, policy.config.get("word")) for policy in policies]


def note(word, name=None, enabled=True):
    return policy("note", name=name, config={"word": word}, enabled=enabled)


def test_policies_of_different_labels_add_up_from_wide_to_narrow():
    merged = merge([note(1, "a")], [note(2, "b")], [note(3, "c")], [note(4, "d")])
    assert words(merged) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_a_narrower_policy_takes_the_place_of_a_wider_one_in_the_running_order_too():
    merged = merge([note(1, "a"), note(2, "b")], [], [note(3, "c"), note(4, "a")])
    assert words(merged) == [("a", 4), ("b", 2), ("c", 3)]


def test_the_plugin_name_is_the_label_of_a_policy_without_a_name():
    assert words(merge([policy("note", config={"word": 1})], [note(2, "note")])) == [("note", 2)]


def test_a_disabled_policy_hides_an_inherited_one():
    assert enabled_only(merge([note(1, "a")], [note(2, "a", enabled=False)])) == ()


def test_a_still_narrower_scope_may_switch_it_on_again():
    merged = merge([note(1, "a")], [note(2, "a", enabled=False)], [note(3, "a")])
    assert words(enabled_only(merged)) == [("a", 3)]
