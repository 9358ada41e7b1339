"""Regular expressions from a configuration: compiled, and refused when a hostile text could stall a worker.

``re`` backtracks. Two shapes make it try exponentially or cubically many ways, and both show in the syntax tree:

* a repeat inside a repeat, ``(a+)+``, where one text can be cut in many ways. Allowed only when every turn of the outer
  repeat must begin with a character that occurs nowhere else in it, as in ``(/[^/]+)*``: then there is one way to cut.
  The same holds for alternatives inside a repeat that may begin with the same character, ``(a|ab)*``.
* open repeats in a row that can pass characters between each other, ``.*.*.*x``. Two are allowed (a square of 8 KiB is
  tens of milliseconds), a third is not.

The check is a rule about syntax, not a proof: it refuses some harmless patterns and says how to write them.
"""

import importlib
import re
from typing import Any

#: CPython's own parser of patterns (3.11 and later); the public alternative, ``sre_parse``, is deprecated.
_parser: Any = importlib.import_module("re._parser")
_MANY = 16  #: a repeat of more than this counts as open
_EVERY = (1 << 257) - 1  #: one bit per character up to U+00FF, and one for all others
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
Tree = list[tuple[str, Any]]


def compile_regex(text: str) -> re.Pattern[str]:
    """Compile a pattern; raise ValueError with a sentence for whoever wrote it."""
    try:
        pattern = re.compile(text)
        tree = _tree(_parser.parse(text))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    _check(tree)
    if _degree(tree) > 2:
        raise ValueError("three open repeats that can match the same characters take too long on a hostile text: put a character between them that they exclude")
    return pattern


def literal_prefix(text: str) -> str:
    """Return what every match of this pattern begins with; empty unless it is anchored with ``^``."""
    tree = _tree(_parser.parse(text))
    if not tree or tree[0][0] != "AT" or str(tree[0][1]) not in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
        return ""
    if _parser.parse(text).state.flags & (re.IGNORECASE | re.MULTILINE):
        return ""
    letters = []
    for op, value in tree[1:]:
        if op != "LITERAL":
            break
        letters.append(chr(value))
    return "".join(letters)


def _tree(parsed: Any) -> Tree:
    return [(str(op), value) for op, value in parsed]


def _parts(op: str, value: Any) -> list[Tree]:
    """The trees inside one element; each is a sequence of its own."""
    if op in (*_REPEATS, "POSSESSIVE_REPEAT"):
        return [_tree(value[2])]
    if op == "SUBPATTERN":
        return [_tree(value[3])]
    if op == "BRANCH":
        return [_tree(branch) for branch in value[1]]
    if op in ("ASSERT", "ASSERT_NOT"):
        return [_tree(value[1])]
    if op == "ATOMIC_GROUP":
        return [_tree(value)]
    if op == "GROUPREF_EXISTS":
        return [_tree(branch) for branch in value[1:] if branch is not None]
    return []


def _open(op: str, value: Any) -> bool:
    return op in _REPEATS and value[1] > _MANY and value[1] > value[0]


def _check(tree: Tree) -> None:
    for op, value in tree:
        if op in ("GROUPREF", "GROUPREF_EXISTS"):
            raise ValueError("references to groups are not allowed: they can take very long on a hostile text")
        if op in _REPEATS and value[1] > _MANY:
            _check_turns(_tree(value[2]))
        for part in _parts(op, value):
            _check(part)


def _check_turns(body: Tree) -> None:
    """``body`` is repeated: refuse it when one text can be cut into turns in several ways."""
    first, rest = _leading(body)
    if first and not first & rest:
        return
    if _any_open(body):
        raise ValueError(
            "a repeat inside a repeat can take very long on a hostile text: begin each turn with a character that the rest excludes, as in (/[^/]+)*"
        )
    if _ambiguous(body):
        raise ValueError("alternatives inside a repeat that begin with the same character can take very long on a hostile text: make them differ at once")


def _any_open(tree: Tree) -> bool:
    return any((op in _REPEATS and value[1] != value[0]) or any(map(_any_open, _parts(op, value))) for op, value in tree)


def _ambiguous(tree: Tree) -> bool:
    for op, value in tree:
        if op == "BRANCH":
            seen = 0
            for branch in value[1]:
                starts = _leading(_tree(branch))[0]
                if not starts or starts & seen:
                    return True
                seen |= starts
        if any(map(_ambiguous, _parts(op, value))):
            return True
    return False


def _leading(tree: Tree) -> tuple[int, int]:
    """The characters that must come first (0 = nothing has to), and all that may come after."""
    tree = [item for item in tree if item[0] not in ("AT", "ASSERT", "ASSERT_NOT")]
    if not tree:
        return 0, 0
    (op, value), rest = tree[0], 0
    for later in tree[1:]:
        rest |= _letters(*later)
    if op == "SUBPATTERN" or op == "ATOMIC_GROUP":
        first, inner = _leading(_parts(op, value)[0])
        return first, inner | rest
    if op == "BRANCH":
        pairs = [_leading(branch) for branch in _parts(op, value)]
        if not all(first for first, _ in pairs):
            return 0, _EVERY
        first = 0
        for starts, inner in pairs:
            first |= starts
            rest |= inner
        return first, rest
    if op in (*_REPEATS, "POSSESSIVE_REPEAT"):
        return (0 if value[0] == 0 else _letters(op, value)), rest | _letters(op, value)
    return _letters(op, value), rest


def _letters(op: str, value: Any) -> int:
    """Every character that can occur in a match of this element, as bits."""
    if op == "LITERAL":
        return 1 << min(value, 256)
    if op == "NOT_LITERAL":
        return _EVERY & ~(1 << value) if value < 256 else _EVERY
    if op == "RANGE":
        low, high = value
        return sum(1 << letter for letter in range(low, min(high, 255) + 1)) | (1 << 256 if high > 255 else 0)
    if op == "CATEGORY":
        wanted = re.compile(_CATEGORIES[str(value)])
        return sum(1 << letter for letter in range(256) if wanted.match(chr(letter))) | 1 << 256
    if op == "IN":
        letters = 0
        for kind, item in _tree(value):
            letters |= _letters(kind, item) if kind != "NEGATE" else 0
        # what is left out beyond U+00FF is unknown, so that bit stays set
        return (_EVERY & ~letters) | 1 << 256 if str(value[0][0]) == "NEGATE" else letters
    if op == "ANY":
        return _EVERY
    letters = 0
    for part in _parts(op, value):
        for item in part:
            letters |= _letters(*item)
    return letters


def _degree(tree: Tree) -> int:
    """How many open repeats in a row can pass characters to the next; nested ones were refused before."""
    most, run, reach = 0, 0, 0
    for op, value in _flat(tree):
        letters = _letters(op, value)
        if _open(op, value):
            run = run + 1 if run and reach & letters else 1
            reach = letters
            most = max(most, run)
        elif op == "BRANCH":
            most = max([most] + [run + _degree(_tree(branch)) for branch in value[1]])
            reach |= letters
        elif op not in ("AT", "ASSERT", "ASSERT_NOT") and not (op in _REPEATS and value[0] == 0) and not letters & reach:
            run = 0  # a character that the repeat before cannot take fixes where it ended
        if op in ("ASSERT", "ASSERT_NOT"):
            most = max(most, *map(_degree, _parts(op, value)))
    return most


def _flat(tree: Tree) -> Tree:
    """The sequence with its groups opened up."""
    flat: Tree = []
    for op, value in tree:
        if op in ("SUBPATTERN", "ATOMIC_GROUP"):
            flat += _flat(_parts(op, value)[0])
        else:
            flat.append((op, value))
    return flat
