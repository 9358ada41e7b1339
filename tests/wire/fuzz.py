"""Coverage-guided search for octets that break an invariant.

``pip install atheris``, then ``python -m tests.wire.fuzz [libFuzzer options] [directory]``. The first three octets choose how the
rest is fed. Without a directory the search starts from the corpus, written to a temporary one. A finding is written as
``crash-...``: shorten it, fix the parser, and add it to the corpus.
"""

import sys
import tempfile
from pathlib import Path

DICTIONARY = (
    "\\x0d\\x0a", "\\x0d\\x0a\\x0d\\x0a", "Host: a", "Content-Length: ", "Transfer-Encoding: chunked", "Connection: ", "keep-alive",
    "close", "upgrade", "Upgrade: x", "Expect: 100-continue", " HTTP/1.1", " HTTP/1.0", "CONNECT a:1", "OPTIONS *", "http://a",
    "0\\x0d\\x0a\\x0d\\x0a", "%2e%2e", "/../", ";a=", "HTTP/1.1 200 OK", "HTTP/1.1 100 C", "HTTP/1.1 204 N", "HTTP/1.1 304 N",
    "HTTP/1.1 101 S",
)  # fmt: skip


def main() -> None:
    """Run libFuzzer."""
    import atheris

    with atheris.instrument_imports(include=["gateway.http"]):
        from tests.wire.invariants import one_input
    from tests.wire.corpus import cases

    arguments = sys.argv
    if not any(Path(argument).is_dir() for argument in arguments[1:]):
        seeds = Path(tempfile.mkdtemp(prefix="wire-"))
        for kind, switch in (("requests", 0), ("responses", 1)):
            for case in cases(kind):
                (seeds / case.name).write_bytes(bytes((0, 0, switch)) + case.octets[:2000])
        words = seeds.with_suffix(".dict")
        words.write_text("".join(f'"{word}"\n' for word in DICTIONARY))
        arguments = [*arguments, str(seeds), f"-dict={words}"]
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
