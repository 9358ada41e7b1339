"""HTTP/1.1 and HTTP/1.0 messages out of octets: requests on one side, responses on the other (RFC 9112)."""

from collections import deque

from gateway.http import guards
from gateway.http.errors import ProtocolError
from gateway.http.framing import CHUNKED, DONE, HEAD, LENGTH, OPAQUE, UNTIL_CLOSE, Inflow, Limits, MessageParser
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
        # Request.__init__ is not called: with keyword arguments it costs as much as splitting the head
        self.method, self.target, http11, (self.path, self.query, _, _) = line
        self.version = "1.1" if http11 else "1.0"
        self.scheme = scheme
        self.host = host
        self.headers = headers
        self.content_length = length
        self.body = None
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

    __slots__ = ("_blank", "_keep_alive", "_scheme", "_waiting", "heads")

    def __init__(self, limits: Limits, scheme: str) -> None:
        super().__init__(limits)
        self._scheme = scheme
        self._blank = False  # an empty line before the request, of which RFC 9112, section 2.2, lets us skip one
        self._keep_alive = True
        self._waiting = b""
        self.heads: deque[Http1Request] = deque()

    @property
    def waiting(self) -> bool:
        """Complete octets of pipelined requests are kept back: call ``feed(b"")`` when ``heads`` is empty."""
        return bool(self._waiting)

    def feed(self, data: bytes) -> None:
        """Take octets from the client. Raises ProtocolError, again and again once it did; ``heads`` keeps what came before it."""
        if self._error is not None:
            raise ProtocolError(self._error.detail, status=self._error.status, code=self._error.code)
        try:
            self._feed(data)
        except ProtocolError as error:
            self._error = error
            raise

    def resume(self, octets: bytes = b"") -> None:
        """Go on with HTTP after a request for another protocol that is not switched to. Raises ProtocolError."""
        data, self.leftover = self.leftover + octets, b""
        self._state = self._state_after()
        self.feed(data)

    def _feed(self, data: bytes) -> None:
        start = 0
        if self._waiting:
            data = self._waiting + data
            self._waiting = b""
        elif self._held:
            start = max(0, len(self._held) - 3)
            data = self._held + data
            self._held = b""
        at = 0
        while at < len(data):
            state = self._state
            if state == HEAD:
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
                    return
                else:
                    end += 4
                    self._head(data if end - at == len(data) else data[at:end])
                    self._blank = False
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

    def _head(self, head: bytes) -> None:
        end = head.find(b"\r\n")
        line = guards.request_line(head[:end], self._most_line)
        fields, index = self._block(head[end + 2 :])
        http11 = line[2]
        named = guards.host(index, http11)
        target = line[3]
        if target.authority is not None:
            guards.check_same_host(target, named)
            named = target.authority
        length, chunked = None, False
        if b"content-length" in index or b"transfer-encoding" in index:
            length, chunked = guards.request_framing(index, http11)
        connection = index.get(b"connection")
        tokens = guards.NO_TOKENS if connection is None else guards.connection_tokens(connection)
        keep_alive = b"close" not in tokens and (http11 or b"keep-alive" in tokens)
        inflow = Inflow(length) if chunked or length else None
        self._keep_alive = keep_alive
        request = Http1Request(line, Headers(fields, index), self._scheme, "" if named is None else named.host, length, inflow, keep_alive)
        if b"expect" in index and http11:
            if index[b"expect"].lower() != b"100-continue":
                raise ProtocolError("an expectation other than 100-continue", status=417, code="expectation_failed")
            request.expect_continue = inflow is not None
        if line[0] == "CONNECT":
            if inflow is not None:
                raise ProtocolError("CONNECT with content", code="bad_framing")
            self._state = OPAQUE
        elif inflow is not None:
            self._expect(inflow, chunked)
        elif b"upgrade" in tokens and http11 and b"upgrade" in index:
            request.upgrade = index[b"upgrade"].decode("latin-1").lower()
            self._state = OPAQUE
        elif not keep_alive:
            self._state = DONE
        self.heads.append(request)

    def _check_line(self, line: bytes) -> None:
        guards.request_line(line, self._most_line)

    def _check_line_begun(self, line: bytes) -> None:
        guards.check_request_line_begun(line, self._most_line)

    def _state_after(self) -> int:
        return HEAD if self._keep_alive else DONE


class ResponseParser(MessageParser):
    """The responses of one backend connection: ``begin`` with the request's method, then ``feed``."""

    __slots__ = ("_method", "interims", "response")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._method = ""
        self._state = DONE
        #: 1xx responses, in order; the caller takes them away
        self.interims: list[Http1Response] = []
        self.response: Http1Response | None = None

    def begin(self, method: str) -> None:
        """Expect the response to a request. Raises ProtocolError when the backend has already sent something."""
        if self.leftover or self._state != DONE or self._error is not None:
            raise ProtocolError("the connection is not between two responses", status=502, code="bad_response")
        self._method = method
        self.response = None
        self.interims = []
        self._state = HEAD

    def feed(self, data: bytes) -> None:
        """Take octets from the backend. Raises ProtocolError (502), again and again once it did."""
        if self._error is not None:
            raise ProtocolError(self._error.detail, status=502, code=self._error.code)
        try:
            self._feed(data)
        except ProtocolError as error:
            error.status = 502
            self._error = error
            raise

    def eof(self) -> None:
        """Take note that the backend closed: the end of some responses. Raises ProtocolError (502) when it is too early."""
        if self._state == UNTIL_CLOSE:
            assert self._inflow is not None
            self._finish(self._inflow, None)
        elif self._state in (HEAD, LENGTH, CHUNKED):
            self._error = ProtocolError("the backend closed before the end of its response", status=502, code="incomplete_response")
            raise self._error

    def _feed(self, data: bytes) -> None:
        start = 0
        if self._held:
            start = max(0, len(self._held) - 3)
            data = self._held + data
            self._held = b""
        while data:
            state = self._state
            if state == HEAD:
                end = data.find(b"\r\n\r\n", start) + 4
                if end < 4:
                    self._hold(data)
                    return
                if end == len(data):
                    self._head(data)
                    self._checked = 0
                    return
                self._head(data[:end])
                self._checked = start = 0
                data = data[end:]
            elif state in (OPAQUE, DONE):
                self.leftover += data
                return
            else:
                data = self._content(data, 0)

    def _head(self, head: bytes) -> None:
        end = head.find(b"\r\n")
        status, reason, http11 = guards.status_line(head[:end], self._most_line)
        fields, index = self._block(head[end + 2 :])
        method = self._method
        connection = index.get(b"connection")
        tokens = guards.NO_TOKENS if connection is None else guards.connection_tokens(connection)
        keep_alive = b"close" not in tokens and (http11 or b"keep-alive" in tokens)
        tunnel = status == 101 or (method == "CONNECT" and 200 <= status < 300)
        headers = Headers(fields, index)
        if method == "CONNECT" and tunnel:  # RFC 9112, section 6.3: such fields mean nothing here
            headers.discard(b"content-length")
            headers.discard(b"transfer-encoding")
        length, chunked = guards.response_framing(index, http11, status, method)
        if status < 200 or status == 204:
            headers.discard(b"content-length")
        content = chunked or length != 0
        inflow = Inflow(length, complete=not content)
        keep_alive = keep_alive and not tunnel and (chunked or length is not None)
        response = Http1Response(status, reason, headers, "1.1" if http11 else "1.0", inflow, chunked, keep_alive)
        if status < 200 and status != 101:
            if len(self.interims) >= _MOST_INTERIMS:
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
