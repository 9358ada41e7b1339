"""HTTP/1.1 and HTTP/1.0 messages out of octets: requests on one side, responses on the other (RFC 9112)."""

from collections import deque

from gateway.http import guards
from gateway.http.errors import ProtocolError
from gateway.http.fields import read_fields
from gateway.http.framing import BROKEN, DONE, HEAD, IDLE, LENGTH, OPAQUE, UNTIL_CLOSE, WAITING, Inflow, Limits, MessageParser
from gateway.http.guards import connections, hosts, request_lines, status_lines
from gateway.http.headers import Headers
from gateway.http.message import Request, Response

#: Pipelined requests taken from one feed before the rest is kept as octets: 64 KiB of tiny requests would become megabytes of objects.
_MOST_WAITING = 32
#: Interim responses before a final one.
_MOST_INTERIMS = 32


class Http1Request(Request):
    """A request whose head is complete."""

    __slots__ = ("expect_continue", "inflow", "keep_alive", "upgrade")

    def __init__(
        self,
        line: guards.RequestLine,
        headers: Headers,
        scheme: str,
        host: str,
        length: int | None,
        inflow: Inflow | None,
        keep_alive: bool,
    ) -> None:
        # Request.__init__ is not called: with keyword arguments it costs half as much as splitting the head
        self.method, self.target, self.version, self.path, self.query, _, _ = line
        self.scheme = scheme
        self.host = host
        self.headers = headers
        self.content_length = length
        self.body = None
        #: content as it arrives; ``None`` when there is none
        self.inflow = inflow
        #: the client expects to send another request on this connection
        self.keep_alive = keep_alive
        #: the client waits for a 100 before it sends content
        self.expect_continue = False
        #: protocols the client would switch to, in lower case as sent; empty when there are none, or when there is content
        self.upgrade = ""


class Http1Response(Response):
    """A response whose head is complete."""

    __slots__ = ("chunked", "inflow", "keep_alive", "version")

    def __init__(self, status: int, reason: bytes, headers: Headers, version: str, inflow: Inflow, chunked: bool, keep_alive: bool) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""
        self.trailers = None
        self.version = version
        self.inflow = inflow
        self.chunked = chunked
        #: the connection can be used again once the content is complete
        self.keep_alive = keep_alive


class RequestParser(MessageParser):
    """The requests of one client connection, in order, in ``heads``."""

    __slots__ = ("_blank", "_delivered", "_keep_alive", "_scheme", "_waiting", "heads")

    def __init__(self, limits: Limits, scheme: str) -> None:
        super().__init__(limits)
        self._scheme = scheme
        self._blank = False  # an empty line before the request, of which RFC 9112, section 2.2, lets us skip one
        self._delivered = False  # the content of a request was completed in this feed
        self._keep_alive = True
        self._waiting = b""
        self.heads: deque[Http1Request] = deque()

    @property
    def waiting(self) -> bool:
        """Something is kept back until the requests before it are answered: call ``feed(b"")`` when ``heads`` is empty."""
        return self._state in (WAITING, BROKEN)

    def feed(self, data: bytes) -> None:
        """Take octets from the client. Raises ProtocolError, again and again once it did.

        An error behind requests that are complete is kept back (see ``waiting``), so that those are answered. A request is not in
        ``heads`` when its content turns out to be broken before anybody took it.
        """
        try:
            if not self._state and data.find(b"\r\n\r\n") == len(data) - 4 >= 0 and data[0] != 13:
                self._head(data)  # IDLE, one head, and nothing else: nearly always
            else:
                self._feed(data)
                self._delivered = False
        except ProtocolError as error:
            heads = self.heads
            if heads and (inflow := heads[-1].inflow) is not None and not inflow.complete:
                heads.pop()
            late = heads or self._delivered
            self._delivered = False
            self._fail(error)
            if not late:
                raise

    def resume(self, octets: bytes = b"") -> None:
        """Go on with HTTP after a request for another protocol that is not switched to. Raises ProtocolError."""
        data, self.leftover = self.leftover + octets, b""
        self._state = self._state_after()
        self.feed(data)

    def _feed(self, data: bytes) -> None:
        start = at = 0
        if self._waiting:
            data = self._waiting + data
            self._waiting = b""
            self._state = IDLE
        elif self._state == HEAD:
            data, start = self._release(data)
        elif self._state == BROKEN:
            raise self._again()
        while at < len(data):
            state = self._state
            if state == IDLE:
                end = data.find(b"\r\n\r\n", start)
                if data.startswith(b"\r\n", at):
                    if self._blank:
                        raise ProtocolError("empty lines before a request", code="bad_request_line")
                    self._blank = True
                    at = start = at + 2
                elif end < 0:
                    self._hold(data[at:] if at else data)
                    return
                elif len(self.heads) >= _MOST_WAITING:
                    self._waiting = data[at:]
                    self._state = WAITING
                    return
                else:
                    end += 4
                    self._head(data[at:end])
                    self._checked = 0
                    at = start = end
            elif state == OPAQUE:
                self.leftover += data[at:]
                return
            elif state == DONE:
                return  # RFC 9112, section 9.6: nothing after the last request is looked at
            else:
                data = self._content(data, at)
                at = start = 0
                self._delivered = self._state == IDLE

    def _head(self, head: bytes) -> None:
        octets, _, block = head.partition(b"\r\n")
        line = request_lines.get(octets) or guards.request_line(octets, self._most_line)
        if len(block) > self._most_octets:
            self._check_octets(block, 0)
        fields, index = read_fields(block)
        if len(fields) > self._most_fields:
            raise ProtocolError("too many header fields", status=431, code="too_many_headers")
        http11 = line[2] == "1.1"
        named = hosts.get(index.get(b"host")) or guards.host(index, http11)
        authority = line[5]
        if authority is not None:
            guards.check_same_host(authority, line[6], named)
            if named is None:  # HTTP/1.0: backends are told what the target said
                index[b"host"] = authority.text
                fields.append((b"Host", authority.text))
            named = authority
        length, chunked, inflow = None, False, None
        if b"content-length" in index or b"transfer-encoding" in index:
            length, chunked = guards.request_framing(index, http11)
            if chunked or length:
                inflow = Inflow(length)
        connection = index.get(b"connection")
        keep_alive = http11
        upgrade = False
        if connection is not None:
            tokens = connections.get(connection) or guards.connection_tokens(connection)
            keep_alive = b"close" not in tokens and (http11 or b"keep-alive" in tokens)
            upgrade = http11 and b"upgrade" in tokens and b"upgrade" in index
        self._keep_alive = keep_alive
        self._blank = False
        host = "" if named is None else named.host
        request = Http1Request(line, Headers(fields, index), self._scheme, host, length, inflow, keep_alive)
        if b"expect" in index and http11:
            if index[b"expect"].lower() != b"100-continue":
                raise ProtocolError("an expectation other than 100-continue", status=417, code="expectation_failed")
            request.expect_continue = inflow is not None
        if inflow is not None:
            if request.method == "CONNECT":
                raise ProtocolError("CONNECT with content", code="bad_framing")
            self._expect(inflow, chunked)
        elif upgrade:
            request.upgrade = index[b"upgrade"].decode("latin-1").lower()
            self._state = OPAQUE
        elif request.method == "CONNECT":
            self._state = OPAQUE
        elif not keep_alive:
            self._state = DONE
        self.heads.append(request)

    def _check_line(self, line: bytes) -> None:
        guards.request_line(line, self._most_line)

    def _check_line_begun(self, line: bytes) -> None:
        guards.check_request_line_begun(line, self._most_line)

    def _state_after(self) -> int:
        return IDLE if self._keep_alive else DONE


class ResponseParser(MessageParser):
    """The responses of one backend connection: ``begin`` with the request's method, then ``feed``."""

    __slots__ = ("_interims", "_method", "_upgrade", "interims", "response")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._method = ""
        self._upgrade = True
        self._interims = 0
        self._state = DONE
        #: 1xx responses, in order; the caller takes them away
        self.interims: list[Http1Response] = []
        self.response: Http1Response | None = None

    def begin(self, method: str, upgrade: bool = True) -> None:
        """Expect the response to a request; without ``upgrade`` a 101 is an error.

        Raises ProtocolError when the connection is not free: something is unread, or was sent unasked.
        """
        if self.leftover or self._state != DONE:
            raise ProtocolError("the connection is not between two responses", status=502, code="bad_response")
        self._method = method
        self._upgrade = upgrade
        if self._interims:
            self._interims = 0
            self.interims = []
        self.response = None
        self._state = IDLE

    def feed(self, data: bytes) -> None:
        """Take octets from the backend. Raises ProtocolError (502), again and again once it did."""
        try:
            self._feed(data)
        except ProtocolError as error:
            error.status = 502
            self._fail(error)
            raise

    def eof(self) -> None:
        """Take note that the backend closed: the end of some responses. Raises ProtocolError (502) when it is too early."""
        if self._state == UNTIL_CLOSE:
            assert self._inflow is not None
            self._finish(self._inflow, None)
        elif self._state not in (OPAQUE, DONE):
            error = ProtocolError("the backend closed before the end of its response", status=502, code="incomplete_response")
            self._fail(error)
            raise error

    def _feed(self, data: bytes) -> None:
        start = 0
        if self._state == HEAD:
            data, start = self._release(data)
        elif self._state == BROKEN:
            raise self._again()
        while data:
            state = self._state
            if state == IDLE:
                end = data.find(b"\r\n\r\n", start) + 4
                if end < 4:
                    self._hold(data)
                    return
                self._head(data if end == len(data) else data[:end])
                self._checked = start = 0
                data = data[end:]
                if self._state == LENGTH and len(data) == self._left:  # as _content would, but sooner: all of it has come
                    inflow = self._inflow
                    assert inflow is not None
                    inflow.chunks.append(data)
                    inflow.complete = True
                    self._inflow = None
                    self._state = DONE
                    return
            elif state in (OPAQUE, DONE):
                self.leftover += data
                return
            else:
                data = self._content(data, 0)

    def _head(self, head: bytes) -> None:
        octets, _, block = head.partition(b"\r\n")
        status, reason, version = status_lines.get(octets) or guards.status_line(octets, self._most_line)
        if len(block) > self._most_octets:
            self._check_octets(block, 0)
        fields, index = read_fields(block)
        if len(fields) > self._most_fields:
            raise ProtocolError("too many header fields", code="too_many_headers")
        http11 = version == "1.1"
        headers = Headers(fields, index)
        method = self._method
        tunnel = status == 101 or (method == "CONNECT" and 200 <= status < 300)
        if status == 101 and not (self._upgrade and b"upgrade" in index):
            raise ProtocolError("a 101 that nobody asked for, or to no protocol", code="bad_response")
        if tunnel and status != 101:  # RFC 9112, section 6.3: these mean nothing here
            headers.discard(b"content-length")
            headers.discard(b"transfer-encoding")
        declared = index.get(b"content-length")
        length: int | None
        if status >= 200 and status not in (204, 304) and declared is not None and method == "GET" and b"transfer-encoding" not in index:
            length, chunked = guards.content_length(declared), False  # nearly always
        else:
            length, chunked = guards.response_framing(index, http11, status, method)
        if status < 200 or status == 204:
            headers.discard(b"content-length")
        connection = index.get(b"connection")
        keep_alive = http11
        if connection is not None:
            tokens = connections.get(connection) or guards.connection_tokens(connection)
            keep_alive = b"close" not in tokens and (http11 or b"keep-alive" in tokens)
        if tunnel or (length is None and not chunked):
            keep_alive = False
        content = chunked or length != 0
        inflow = Inflow(length, not content)
        response = Http1Response(status, reason, headers, version, inflow, chunked, keep_alive)
        if status < 200 and status != 101:
            self._interims += 1
            if self._interims > _MOST_INTERIMS:
                raise ProtocolError("too many interim responses", code="bad_response")
            self.interims.append(response)
            return
        self.response = response
        if content:
            self._expect(inflow, chunked)
        else:
            self._state = OPAQUE if tunnel else DONE

    def _check_line(self, line: bytes) -> None:
        guards.status_line(line, self._most_line)

    def _check_line_begun(self, line: bytes) -> None:
        guards.check_status_line_begun(line, self._most_line)

    def _state_after(self) -> int:
        return DONE
