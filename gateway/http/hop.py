"""Fields that belong to one connection and are never forwarded (RFC 9110, section 7.6.1)."""

from gateway.http.guards import connection_tokens
from gateway.http.headers import Headers, lower_name

#: ``Proxy`` is in no standard: old CGI programs take it for the variable HTTP_PROXY.
HOP_BY_HOP = frozenset(
    {
        b"connection", b"http2-settings", b"keep-alive", b"proxy", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip


def strip_hop_by_hop(headers: Headers) -> None:
    """Remove what belongs to the connection, and whatever ``Connection`` names. Raises ProtocolError when it names what it must not."""
    index = headers.index
    if HOP_BY_HOP.isdisjoint(index):
        return
    drop: frozenset[bytes] = HOP_BY_HOP
    connection = index.get(b"connection")
    if connection is not None:
        drop = HOP_BY_HOP | connection_tokens(connection)
    for name in drop.intersection(index):
        del index[name]
    headers.fields = [field for field in headers.fields if lower_name(field[0]) not in drop]
