"""Regular expressions from a configuration: compiled, and refused when a hostile text could stall a worker.

``re`` backtracks, so a pattern that can cut one text in many ways may try them all. Theory of the check, which reads
the syntax tree only and errs on the side of refusing:

* The number of ways is kept as bits. A repeat without a bound counts ``OPEN`` bits (a text has at most some 8 KiB), a
  bounded one the logarithm of its choices. Repeats in a row add up while characters can pass from one to the next;
  a character in between that the former cannot take ends the sum. A pattern that is not anchored begins with ``OPEN``
  bits, because each position is tried. More than ``MOST`` bits are refused: two open repeats pass, three do not.
* A repeat inside an open repeat, ``(a+)+``, is exponential, unless every turn begins or ends with a character that
  occurs nowhere else in it: ``(/[^/]+)*`` has one way to be cut. So are alternatives that may begin alike, ``(a|.)*``.
"""

import importlib
import re
import warnings
from math import log2
from typing import Any

#: CPython's own parser of patterns (3.11 and later); the public alternative, ``sre_parse``, is deprecated.
_parser: Any = importlib.import_module("re._parser")
_MANY = 16  #: a repeat of more turns than this counts as open
OPEN = 13.0
MOST = 30.0
_EVERY = (1 << 257) - 1  #: one bit per character up to U+00FF, and one for all others
_OTHERS = 1 << 256
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_GROUPS = frozenset({"SUBPATTERN", "ATOMIC_GROUP"})
_LOOKS = frozenset({"ASSERT", "ASSERT_NOT"})
_CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
#: name of an element, and what it consists of
Tree = list[tuple[str, Any]]


def compile_regex(text: str) -> re.Pattern[str]:
    """Compile a pattern; raise ValueError with a sentence for whoever wrote it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # constructs whose meaning will change
            pattern = re.compile(text)
            parsed = _parser.parse(text)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    tree = _tree(parsed)
    shape = _Shape(ignores_case=bool(parsed.state.flags & re.IGNORECASE) or re.search(r"\(\?[a-z]*i", text) is not None)
    bits = shape.ways(tree, 0.0 if _anchored(tree) else OPEN, _EVERY)[2]
    if bits > MOST:
        raise ValueError(
            "repeats in a row that can match the same characters may take very long on a hostile text: "
            "put a character between them that they exclude, and begin with ^"
        )
    return pattern


def literal_prefix(text: str) -> str:
    """Return what every match of this pattern begins with; empty unless it is anchored with ``^``."""
    parsed = _parser.parse(text)
    tree = _tree(parsed)
    if not _anchored(tree) or parsed.state.flags & (re.IGNORECASE | re.MULTILINE):
        return ""
    letters = []
    for op, value in tree[1:]:
        if op != "LITERAL":
            break
        letters.append(chr(value))
    return "".join(letters)


def _tree(parsed: Any) -> Tree:
    return [(str(op), value) for op, value in parsed]


def _anchored(tree: Tree) -> bool:
    return bool(tree) and tree[0][0] == "AT" and str(tree[0][1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING")


def _parts(op: str, value: Any) -> list[Tree]:
    """Return the trees inside one element; each is a sequence of its own."""
    if op in _REPEATS:
        return [_tree(value[2])]
    if op == "SUBPATTERN":
        return [_tree(value[3])]
    if op == "BRANCH":
        return [_tree(branch) for branch in value[1]]
    if op in _LOOKS:
        return [_tree(value[1])]
    return [_tree(value)] if op == "ATOMIC_GROUP" else []


class _Shape:
    def __init__(self, ignores_case: bool) -> None:
        self._ignores_case = ignores_case

    def ways(self, tree: Tree, bits: float, reach: int) -> tuple[float, int, float]:
        """Return bits at the end of a sequence, the characters that its last repeat may pass on, and the most bits on the way."""
        most = bits
        for op, value in tree:
            if op in ("GROUPREF", "GROUPREF_EXISTS"):
                raise ValueError("references to groups are not allowed: they may take very long on a hostile text")
            if op in _GROUPS:
                bits, reach, inner = self.ways(_parts(op, value)[0], bits, reach)
                most = max(most, inner)
            elif op == "BRANCH":
                ends = [self.ways(branch, bits, reach) for branch in _parts(op, value)]
                bits = max(end[0] for end in ends)
                for _, further, inner in ends:
                    reach |= further
                    most = max(most, inner)
            elif op in _LOOKS:
                most = max(most, self.ways(_parts(op, value)[0], bits, reach)[2])
            elif op in _REPEATS:
                letters, own = self.letters(op, value), self._turns(value)
                if letters & reach:
                    bits += own
                elif own or value[0]:
                    bits = own
                reach = letters if own or value[0] else reach
            elif op != "AT" and not self.letters(op, value) & reach:
                bits, reach = 0.0, 0  # the repeat before cannot take this character: it fixes where that one ended
            most = max(most, bits)
        return bits, reach, most

    def _turns(self, value: Any) -> float:
        """Return the bits of one repeat, its content included; refuse one that is exponential."""
        low, high, body = value[0], value[1], _tree(value[2])
        own = self.ways(body, 0.0, 0)[2]
        turns = OPEN if high > _MANY else log2(high - low + 1)
        ambiguous, delimited = self._ambiguous(body), self._delimited(body)
        if delimited and not ambiguous:
            return max(own, turns)
        if high <= _MANY:
            return turns + float(high) * (own + ambiguous)
        if own and not delimited:
            raise ValueError(
                "a repeat inside a repeat may take very long on a hostile text: "
                "begin or end each turn with a character that the rest of it excludes, as in (/[^/]+)*"
            )
        if ambiguous:
            raise ValueError(
                "alternatives inside a repeat that may begin with the same character may take very long on a hostile text: "
                "make them differ at once"
            )
        return turns

    def _delimited(self, body: Tree) -> bool:
        """Whether each turn begins, or ends, with a character that is nowhere else in it."""
        for last in (False, True):
            edge, rest = self._edge(body, last)
            if edge and not edge & rest:
                return True
        return False

    def _ambiguous(self, tree: Tree) -> bool:
        for op, value in tree:
            if op == "BRANCH":
                seen = 0
                for branch in _parts(op, value):
                    starts = self._edge(branch, False)[0]
                    if not starts or starts & seen:
                        return True
                    seen |= starts
            if any(map(self._ambiguous, _parts(op, value))):
                return True
        return False

    def _edge(self, tree: Tree, last: bool) -> tuple[int, int]:
        """Return the characters one of which must come first (0 = none must) and all that may be elsewhere; ``last``: from the end."""
        tree = [item for item in tree if item[0] != "AT" and item[0] not in _LOOKS]
        if last:
            tree.reverse()
        if not tree:
            return 0, 0
        (op, value), rest = tree[0], 0
        for later in tree[1:]:
            rest |= self.letters(*later)
        if op in _GROUPS or op == "BRANCH":
            first = 0
            for part in _parts(op, value):
                edge, inner = self._edge(part, last)
                if not edge:
                    return 0, _EVERY
                first |= edge
                rest |= inner
            return first, rest
        if op in _REPEATS:
            edge, inner = self._edge(_tree(value[2]), last)
            return (edge if value[0] else 0), rest | inner | (edge if value[1] > 1 else 0)
        return self.letters(op, value), rest

    def letters(self, op: str, value: Any) -> int:
        """Return every character that can occur in a match of this element, as bits; rather too many than too few."""
        if op == "LITERAL":
            return self._folded(1 << min(value, 256))
        if op == "NOT_LITERAL":
            return _EVERY & ~(1 << value) if value < 256 else _EVERY
        if op == "RANGE":
            low, high = value
            return self._folded(sum(1 << letter for letter in range(low, min(high, 255) + 1)) | (_OTHERS if high > 255 else 0))
        if op == "CATEGORY":
            wanted = re.compile(_CATEGORIES[str(value)])
            return sum(1 << letter for letter in range(256) if wanted.match(chr(letter))) | _OTHERS
        if op == "IN":
            return self._set(_tree(value))
        if op == "ANY":
            return _EVERY
        letters = 0
        for part in _parts(op, value):
            for item in part:
                letters |= self.letters(*item)
        return letters

    def _set(self, items: Tree) -> int:
        letters = 0
        if items[0][0] != "NEGATE":
            for item in items:
                letters |= self.letters(*item)
            return letters
        exact = _Shape(ignores_case=False)  # what is excluded for certain
        for item in items[1:]:
            letters |= exact.letters(*item)
        return _EVERY & ~letters | _OTHERS

    def _folded(self, letters: int) -> int:
        if not self._ignores_case:
            return letters
        both = letters | _OTHERS
        for letter in range(256):
            if letters >> letter & 1:
                for other in (chr(letter).lower(), chr(letter).upper()):
                    both |= 1 << min(ord(other[0]), 256)
        return both
