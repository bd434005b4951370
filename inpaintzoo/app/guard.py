"""What is refused before a route sees it: other hosts, other sites, large requests."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def refusal(status: int, reason: str) -> JSONResponse:
    """An error as the server tells it."""
    return JSONResponse({"error": " ".join(reason.split())}, status)


class _TooLong(Exception):
    """The body goes on beyond the limit."""


class Guard:
    """Refuses requests, answers for mistakes, and forbids the browser to load anything from elsewhere.

    A page of another site can make a browser send requests here. Its address is then in `Origin`; or, if its name has
    been pointed at this machine, in `Host`.

    Args:
        app: what it guards.
        hosts: names by which the server may be called in addition to the local ones.
        megabytes: size of a request.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], megabytes: float) -> None:
        self.app = app
        self.hosts = {*LOCAL, *(host.lower() for host in hosts)}
        self.megabytes = megabytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, reason = self._refusal(Headers(scope=scope))
        if status:
            await refusal(status, reason)(scope, receive, send)
            return
        received, too_long, started = 0, False, False

        async def limited() -> Message:
            nonlocal received, too_long
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.megabytes * 1e6:
                too_long = True
                raise _TooLong
            return message

        async def headed(message: Message) -> None:
            nonlocal started
            if too_long:
                return  # the app's own account of it
            if message["type"] == "http.response.start":
                started = True
                names = {name for name, _ in message["headers"]}
                added = ((name.encode(), value.encode()) for name, value in _HEADERS.items())
                message["headers"] = [*message["headers"], *(each for each in added if each[0] not in names)]
            await send(message)

        try:
            await self.app(scope, limited, headed)
        except Exception as error:
            if started:
                raise
            if not too_long:
                reason = f"{type(error).__name__}: {error}; this is a mistake of inpaintzoo"
                await refusal(500, reason)(scope, receive, headed)
        if too_long and not started:
            await refusal(413, self._long())(scope, receive, send)

    def _refusal(self, headers: Headers) -> tuple[int, str]:
        """Status and sentence; 0 if there is nothing against the request."""
        host = headers.get("host", "")
        if not self._ours(host):
            return 421, f"the Host {host[:100]!r} is not this server's; call it {' or '.join(sorted(self.hosts))}"
        origin = headers.get("origin")
        elsewhere = origin is not None and not self._ours(re.sub(r"^https?://", "", origin))
        if elsewhere or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "the request comes from another site; open the page itself"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.megabytes * 1e6:
            return 413, self._long()
        return 0, ""

    def _ours(self, host: str) -> bool:
        name = re.fullmatch(r"([\w.-]+|\[[\da-fA-F:]+\])(:\d+)?", host)
        return name is not None and name[1].lower() in self.hosts

    def _long(self) -> str:
        return f"the request is larger than {self.megabytes:g} MB; scale the picture down"
