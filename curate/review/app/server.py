"""FiftyOne's server behind a guard: this machine only, our page only, the dataset's own pictures only.

FiftyOne's server has no authentication: without the guard any page that a reviewer visits could run operators in
it, and `/media?filepath=` would hand out any file of the machine. Everything else about it stays as it is.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from curate.review.app.requests import MOST_BYTES, objection_to_body, objection_to_query, objection_to_route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WRITES = ("/tag", "/dataset/")  # requests by which the App itself changes samples: tags, and the Annotate tab
WITH_BODY = ("POST", "PATCH", "PUT", "DELETE")
KEY = "key"  # of the URL that is printed: whoever has it may review


class Guard:
    """ASGI middleware that answers 403 to whatever does not come from our own page.

    - `Host` has to be a name of ours (a page of another site whose name resolves to us has its own), or, where we
      listen beyond loopback, an address: no page of another site has ours, and behind a NAT we don't know it,
    - `Origin`, where there is one, has to be the page's own,
    - the cookie has to hold the key of the URL that `curate review` printed: other users of the machine lack it,
    - `/media` gives the files of `media` and nothing else,
    - routes and operators are those that a review needs, and no request names a class but a view stage
      (`curate.review.app.requests`): the key opens the App, not the machine.

    Parameters
    ----------
    app : the server to guard
    address : where we listen; at any port (a tunnel has another)
    media : absolute paths that may be read
    key : what the URL and then the cookie has to hold
    after_write : called after a request by which the App itself changed samples
    """

    def __init__(
        self,
        app: App,
        *,
        media: Collection[str],
        address: str = LOOPBACK[0],
        key: str | None = None,
        after_write: Callable[[], None] = lambda: None,
    ) -> None:
        self.app, self.media, self.after_write = app, media, after_write
        self._names, self._beyond_loopback = names_at(address), address not in LOOPBACK
        self.key = key or secrets.token_urlsafe(18)
        self._cookie = f"curate-{secrets.token_hex(4)}"  # cookies are shared by the ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await _close(send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if reason := self._objection(scope, headers, query):
            return await _answer(send, 403, reason)
        if self._is_key(query.get(KEY, [""])[0]):
            rest = urlencode({name: values for name, values in query.items() if name != KEY}, doseq=True)
            cookie = f"{self._cookie}={self.key}; Path=/; HttpOnly; SameSite=Lax"
            place = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{rest}" if rest else "")  # never of another host
            return await _answer(send, 303, "", [("location", place), ("set-cookie", cookie)])
        if scope["method"] in WITH_BODY:
            body = await _read(receive)
            if body is None:
                return await _answer(send, 413, f"at most {MOST_BYTES:,} bytes")
            if reason := objection_to_body(scope["path"], body):
                return await _answer(send, 403, reason)
            receive = _replayed(body, receive)
        await self.app(scope, receive, send)
        if scope["method"] in WITH_BODY and scope["path"].startswith(WRITES):
            await asyncio.to_thread(self.after_write)

    def _objection(self, scope: Scope, headers: dict[str, str], query: dict[str, list[str]]) -> str | None:
        host = headers.get("host", "")
        if not self._is_ours(_host_of(host)):
            return "this host name is not served here"
        if "origin" in headers and headers["origin"] != f"{scope['scheme']}://{host}":
            return "requests of other pages are refused"
        if not (self._is_key(query.get(KEY, [""])[0]) or self._is_key(self._held(headers))):
            return "open the address that curate review printed"
        if scope["path"].rstrip("/") == "/media" and not all(path in self.media for path in query.get("filepath", [])):
            return "only the pictures of this dataset are served"
        query_string = scope["query_string"].decode("latin-1")
        return objection_to_route(scope["method"], scope["path"]) or objection_to_query(query_string)

    def _is_ours(self, host: str) -> bool:
        return host in self._names or (self._beyond_loopback and _is_address(host))

    def _held(self, headers: dict[str, str]) -> str:
        pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        return next((value for name, _, value in pairs if name == self._cookie), "")

    def _is_key(self, said: str) -> bool:
        return hmac.compare_digest(said.encode(), self.key.encode())


def names_at(address: str) -> Collection[str]:
    """What a browser may call us where we listen on `address`: beyond loopback also by this machine's names."""
    if address in LOOPBACK:
        return LOOPBACK
    name = socket.gethostname().lower()
    return {*LOOPBACK, address.lower(), name, f"{name.partition('.')[0]}.local", socket.getfqdn().lower()}


def url_of(address: str, port: int, page: str) -> str:
    """The URL of `page`, a path, for a browser of this machine: an address for "on all of them" is none to go to."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"http://{f'[{here}]' if ':' in here else here}:{port}{page}"


def _host_of(header: str) -> str:
    """The name in a Host header; empty where that is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _read(receive: Receive) -> bytes | None:
    """The body of a request; None where it is too long."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What the server gets in place of `receive`: the body in one piece, then whatever comes."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return replay


async def _answer(send: Send, status: int, text: str, headers: Collection[tuple[str, str]] = ()) -> None:
    head = [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff"), *headers]
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in head]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})


async def _close(send: Send) -> None:
    """FiftyOne uses no websockets: none is opened."""
    await send({"type": "websocket.close", "code": 1008})


def _quiet_at_the_end(until: asyncio.Event) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Connections that are cut because we end are no errors that anybody has to read of."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not until.is_set():
            loop.default_exception_handler(context)

    return handle


async def serve(app: App, address: str, port: int, *, until: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve `app` until the event is set; call `ready` once connections are accepted."""
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]
    config.accesslog, config.errorlog = None, logging.getLogger("hypercorn.error")
    config.graceful_timeout = 1.0  # seconds; the App holds connections open for as long as the page is
    config.shutdown_timeout = 5.0
    logging.getLogger("hypercorn.error").setLevel(logging.ERROR)
    asyncio.get_running_loop().set_exception_handler(_quiet_at_the_end(until))
    serving = asyncio.ensure_future(hypercorn(app, config, shutdown_trigger=until.wait))  # type: ignore[arg-type]
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
            ready()
            break
        except OSError:
            await asyncio.sleep(0.02)
    await serving
