"""Know the caller by an API key in a header, the query or a cookie.

Keys are random and long, so one keyed hash is enough to store them and a dict finds the holder: a digest is what is
looked up, so the time of the search says nothing about a key. A password would need a slow hash; it is not a key.
"""

from collections.abc import Iterable
from hashlib import blake2b
from time import time
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from gateway.api import Consumer, Exchange, Headers, Plugin, PolicyInfo, Reject, Secret, Settings, hookimpl

#: Personalised, so that the digest of a key here is of no use anywhere else. Copied, which is cheaper than making one.
_HASH = blake2b(digest_size=24, person=b"gateway.key_auth")
IDENTITY = ("X-Consumer-Name", "X-Consumer-Groups", "X-Credential-Name")
#: Consumers whose identity headers are kept ready.
_READY_MOST = 4096

HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]


class KeyAuth(Plugin):
    """Know the caller by an API key in a header, the query or a cookie."""

    name = "key_auth"
    api = 1

    class Config(Plugin.Config):
        header: HeaderName | None = Field("X-API-Key", description="Header with the key; none = not looked for there")
        scheme: str = Field("", pattern=r"^[A-Za-z0-9-]*$", description="Word before the key in the header, such as Bearer")
        query: str | None = Field(
            None, min_length=1, description="Query parameter with the key; it ends up in logs of others, so prefer a header"
        )
        cookie: HeaderName | None = Field(None, description="Cookie with the key")
        hide: bool = Field(True, description="Remove the key before the request is forwarded")
        identity: bool = Field(True, description="Tell the backend who calls: X-Consumer-Name, X-Consumer-Groups, X-Credential-Name")
        anonymous: str | None = Field(None, description="Name of the consumer that callers without a key are; none = they are refused")
        realm: str = Field("gateway", pattern=r'^[^"\\\x00-\x1f\x7f-\U0010ffff]*$', description="Realm in the WWW-Authenticate header")

        @model_validator(mode="after")
        def _some_place(self) -> "KeyAuth.Config":
            if not (self.header or self.query or self.cookie):
                raise ValueError("a header, a query parameter or a cookie must be named")
            if self.scheme and not self.header:
                raise ValueError("a scheme needs a header")
            return self

    class Credential(Settings):
        key: Annotated[Secret, StringConstraints(min_length=8, max_length=512, pattern=r"^[\x21-\x7e]+$")] = Field(
            description="The key: random, at least 8 printable characters without spaces, 128 bits or more are advised"
        )
        expires: AwareDatetime | None = Field(None, description="When the key stops working, with time zone; none = never")

    def __init__(self, config: Any, policy: PolicyInfo) -> None:
        super().__init__(config, policy)
        self.challenge = f'{config.scheme or "ApiKey"} realm="{config.realm}"'
        self._header = config.header.lower().encode() if config.header else None
        self._scheme = f"{config.scheme} ".lower().encode() if config.scheme else b""
        self._identity = config.identity
        #: the usual case, made quick: a key in a header of its own is hidden, and is nowhere else
        self._only_header = None if config.scheme or config.query or config.cookie or not config.hide else self._header
        self._ready: dict[tuple[Consumer, str], list[Any]] = {}

    @classmethod
    def lookup(cls, credential: Any) -> tuple[str, dict[str, object] | None]:
        """Return the digest of the key, and when it expires."""
        stored: dict[str, object] | None = {"expires": credential.expires.timestamp()} if credential.expires else None
        return _digest(credential.key.encode()), stored

    @hookimpl
    def authenticate(self, exchange: Exchange) -> Consumer | Reject | None:
        key = self._key(exchange)
        if key is None:
            if self.config.anonymous is None:
                return None
            consumer: Consumer | None = exchange.snapshot.consumers.get(self.config.anonymous)
            return consumer
        holders = exchange.snapshot.credentials.get(self.name)
        holder = holders.get(_digest(key)) if holders else None
        if holder is None:
            return self._refuse("unknown_key", "no consumer has this key")
        consumer, name, stored = holder
        if stored is not None and time() >= stored["expires"]:
            return self._refuse("expired_key", f"credential {name} of consumer {consumer.name} has expired")
        exchange.credential = name
        return consumer

    @hookimpl(tryfirst=True)
    def transform_request(self, exchange: Exchange) -> None:
        """Hide the key, say who calls. First, so that plugins after it may still change or remove the identity."""
        headers = exchange.request.headers
        if self._only_header is not None:
            headers.discard(self._only_header)
        elif self.config.hide:
            self._hide(exchange)
        headers.discard_all(_SPOOFABLE)
        if exchange.consumer is not None and self._identity:
            holder = exchange.consumer, exchange.credential
            for field in self._ready.get(holder) or self._prepare(*holder):
                headers.put(field)

    def _key(self, exchange: Exchange) -> bytes | None:
        """Return the first key found, in the order header, query, cookie."""
        request = exchange.request
        if self._header is not None:
            found = request.headers.octets(self._header)
            if found is not None:
                if not self._scheme:
                    return found
                if found[: len(self._scheme)].lower() == self._scheme:
                    return found[len(self._scheme) :].strip()
        if self.config.query is not None and request.query:
            for part in request.query.split("&"):
                if _is_parameter(part, self.config.query):
                    return unquote(part.partition("=")[2], "latin-1").encode("latin-1", "replace")
        if self.config.cookie is not None:
            for pair in _cookies(request.headers):
                name, _, value = pair.partition("=")
                if name == self.config.cookie:
                    return value.encode("latin-1")
        return None

    def _hide(self, exchange: Exchange) -> None:
        request = exchange.request
        if self._header is not None and (not self._scheme or self._carries_scheme(request.headers)):
            request.headers.discard(self._header)
        if self.config.query is not None and self.config.query in unquote(request.query):
            request.query = "&".join(part for part in request.query.split("&") if not _is_parameter(part, self.config.query))
        if self.config.cookie is not None and "cookie" in request.headers:
            kept = [pair for pair in _cookies(request.headers) if pair.partition("=")[0] != self.config.cookie]
            if kept:
                request.headers.set("Cookie", "; ".join(kept))
            else:
                request.headers.remove("Cookie")

    def _carries_scheme(self, headers: Headers) -> bool:
        """Another scheme in the same header belongs to another method, or to the backend."""
        return (headers.octets(self._header or b"") or b"")[: len(self._scheme)].lower() == self._scheme

    def _prepare(self, consumer: Consumer, credential: str) -> list[Any]:
        """Make the identity headers of a consumer, and keep them."""
        values = zip(IDENTITY, (consumer.name, ",".join(sorted(consumer.groups)), credential), strict=True)
        if len(self._ready) >= _READY_MOST:
            self._ready.clear()
        ready = self._ready[consumer, credential] = [Headers.prepare(name, value) for name, value in values if value]
        return ready

    def _refuse(self, code: str, detail: str) -> Reject:
        return Reject(401, code, detail, [("WWW-Authenticate", self.challenge)])


_PARTS = (("consumer", "name"), ("consumer", "groups"), ("credential", "name"))
#: The identity headers in every spelling that a CGI or WSGI program takes for them.
_SPOOFABLE = frozenset(f"x{one}{what}{other}{of}".encode() for what, of in _PARTS for one in "-_" for other in "-_")


def _digest(key: bytes) -> str:
    hashed = _HASH.copy()
    hashed.update(key)
    return hashed.hexdigest()


def _is_parameter(part: str, name: str) -> bool:
    key = part.partition("=")[0]
    return key == name or ("%" in key and unquote(key) == name)


def _cookies(headers: Headers) -> Iterable[str]:
    """Yield every cookie as ``name=value`` (RFC 6265, section 5.4); HTTP/2 may send them in several headers."""
    return (pair.strip() for line in headers.get_all("cookie") for pair in line.split(";"))
