"""The dashboard in a browser: textual-serve starts the command anew for every browser window and relays its screen."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web
from textual_serve.server import Server

from domcli.errors import DomcliError

HOST = "127.0.0.1"
PAGES = Path(__file__).parent / "pages"
"""In place of textual-serve's own page: one that fetches nothing from elsewhere, for machines without a network."""
COLOURS = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
"""What the terminal in the browser can show, whatever the server was started from."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ServingError(DomcliError):
    """The port cannot be used."""


class LocalServer(Server):
    """Answers this machine alone, and of its users only those who know the key in the address.

    The key comes back as a cookie that no other site can make a browser send: a page from elsewhere could otherwise
    open the websocket, and so could other users of the machine. Nor is a page answered that came from elsewhere, or
    whose address only leads here (a name that was made to mean this machine).
    """

    def __init__(self, command: Sequence[str], port: int) -> None:
        super().__init__(shlex.join(command), host=HOST, port=port, title="domcli", templates_path=PAGES)
        self._key = secrets.token_urlsafe(16)
        self._cookie = f"domcli-{port}"

    @property
    def address(self) -> str:
        """What a browser is to open."""
        return f"{self.public_url}/?key={self._key}"

    def run(self, announce: Callable[[str], None]) -> None:
        """Serve until Ctrl-C; `announce` is told the address once somebody answers there."""
        web.run_app(
            self._make_app(), host=HOST, port=self.port, access_log=None, print=lambda *_: announce(self.address)
        )

    async def on_startup(self, app: web.Application) -> None:
        """Leave out the banner."""

    async def _make_app(self) -> web.Application:
        app: web.Application = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._is_own(request):
            raise web.HTTPForbidden(text=f"Only {self.public_url} is served here, to pages of its own.")
        invited = self._is_key(request.query.get("key"))
        if not invited and not self._is_key(request.cookies.get(self._cookie)):
            raise web.HTTPForbidden(text="Open the address that `domcli dashboard --web` has written.")
        response = await handler(request)
        if invited and not response.prepared:
            response.set_cookie(self._cookie, self._key, httponly=True, samesite="Strict")
        return response

    def _is_own(self, request: web.Request) -> bool:
        """Tell whether a request was sent to this server by its name, and by no page of another one."""
        own = self.public_url.removeprefix("http://")
        hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        return hosts == [own] and all(origin == self.public_url for origin in origins)

    def _is_key(self, offered: str | None) -> bool:
        return offered is not None and secrets.compare_digest(offered.encode(), self._key.encode())


def serve(command: Sequence[str], port: int, announce: Callable[[str], None]) -> None:
    """Serve a command that opens the dashboard until Ctrl-C; `announce` is told the address once it works.

    Raises ServingError if the port cannot be used.
    """
    os.environ.update(COLOURS)
    try:
        LocalServer(command, port).run(announce)
    except OSError as error:
        raise ServingError(f"cannot serve on port {port}: {error.strerror}; choose another with --port") from error
