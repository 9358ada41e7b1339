import pytest

from gateway.http.errors import ProtocolError
from gateway.http.headers import Headers
from gateway.http.hop import strip_hop_by_hop


def test_what_belongs_to_the_connection_is_removed_and_nothing_else():
    headers = Headers.of(
        [
            ("Host", "a"), ("Connection", "keep-alive, X-Mine"), ("X-Mine", "1"), ("x-mine", "2"), ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("HTTP2-Settings", "x"), ("Proxy-Connection", "close"), ("Proxy", "evil"),
            ("Proxy-Authorization", "Basic x"), ("Trailer", "X-Sum"), ("X-Other", "3"),
        ]
    )  # fmt: skip
    strip_hop_by_hop(headers)
    assert list(headers) == [("Host", "a"), ("Trailer", "X-Sum"), ("X-Other", "3")]
    assert set(headers.index) == {b"host", b"trailer", b"x-other"}


def test_headers_without_such_fields_stay_as_they_are():
    headers = Headers.of([("Host", "a")])
    fields = headers.fields
    strip_hop_by_hop(headers)
    assert headers.fields is fields


@pytest.mark.parametrize("named", ["Host", "close, Content-Length", "x-forwarded-for", "Authorization"])
def test_connection_cannot_make_the_gateway_drop_what_rules_rely_on(named):
    with pytest.raises(ProtocolError):
        strip_hop_by_hop(Headers.of([("Connection", named)]))
