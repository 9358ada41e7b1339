import re
from pathlib import Path

from gateway.model.listener import HttpLimits
from gateway.model.route import Timeouts
from tests.wire.corpus import Refused, cases

DOCUMENT = Path(__file__).parents[2] / "docs" / "http.md"


def test_every_code_of_the_corpus_is_documented_and_no_other():
    text = DOCUMENT.read_text()
    given = {case.verdict.code for kind in ("requests", "responses") for case in cases(kind) if isinstance(case.verdict, Refused)}
    written = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", text)) - {*HttpLimits.model_fields, *Timeouts.model_fields}
    assert written == given


def test_every_status_of_the_corpus_is_documented():
    text = DOCUMENT.read_text()
    for case in cases("requests"):
        if isinstance(case.verdict, Refused):
            assert re.search(rf"{case.verdict.status} (?:`\w+`, )*`{case.verdict.code}`", text), case
