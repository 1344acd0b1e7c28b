"""The dashboard in a browser: what a client gets that has the address, and one that has not."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
import recorded
from conftest import CommandLine

from domcli.dashboard.web import ServingError, serve

PATIENCE = 60.0
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[$ ]?[A-Za-z]|\].*?\x07)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert isinstance(port, int)
    return port


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(PATIENCE))


async def screen_of(client: aiohttp.ClientSession, url: str, wanted: str) -> str:
    """Return what the terminal in the browser is sent until the wanted text has come."""
    text = ""
    async with client.ws_connect(url) as socket_:
        while wanted not in text:
            message = await socket_.receive(PATIENCE)
            assert message.type is aiohttp.WSMsgType.BINARY, f"{wanted} did not come: {text[-2000:]}"
            text = ESCAPES.sub("", text + message.data.decode())
    return text


def test_a_browser_gets_a_page_and_the_dashboard_in_it(cli: CommandLine) -> None:
    recorded.make("one")
    port = free_port()
    server = cli.begin("dashboard", "--web", "--port", str(port), "--replay", "one")
    try:
        assert server.stderr is not None
        line = server.stderr.readline()
        address = re.search(rf"http://127\.0\.0\.1:{port}/\?key=[\w-]+", line)
        assert address, line
        assert "read-only" in line
        page, socket_ = f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/ws?width=150&height=40"

        async def browse() -> str:
            async with session() as client:
                async with client.get(address[0]) as answer:
                    text = await answer.text()
                    assert answer.status == 200
                    assert f"ws://127.0.0.1:{port}/ws" in text
                    places = re.findall(r"https?://[^/\"']+", text)
                    assert set(places) == {f"http://127.0.0.1:{port}"}  # it works without a network
                async with client.get(page) as answer:
                    assert answer.status == 200
                return await screen_of(client, socket_, "▶ one")

        async def intrude() -> list[int]:
            async with session() as client:
                statuses = []
                for url in (page, f"{page}?key=wrong", f"{page}static/js/textual.js"):
                    async with client.get(url) as answer:
                        statuses.append(answer.status)
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await client.ws_connect(socket_)
                return [*statuses, refused.value.status]

        assert " domcli " in asyncio.run(browse())
        assert asyncio.run(intrude()) == [403] * 4
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0


def asked(port: int, path: str, *headers: str) -> int:
    """Return the status of the answer to a request that is written by hand."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join([f"GET {path} HTTP/1.1", *headers, "", ""]).encode())
        with connection.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def test_another_site_gets_nothing_even_with_the_key(cli: CommandLine) -> None:
    recorded.make("one")
    port = free_port()
    server = cli.begin("dashboard", "--web", "--port", str(port))
    try:
        assert server.stderr is not None
        key = re.search(r"key=([\w-]+)", server.stderr.readline())
        assert key
        here = f"127.0.0.1:{port}"
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        upgrade += ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Cookie: domcli-{port}={key[1]}")
        page, socket_ = f"/?key={key[1]}", "/ws?width=80&height=24"

        def both(*headers: str) -> tuple[int, int]:
            closing = ("Connection: close",)
            return asked(port, page, *headers, *closing), asked(port, socket_, *headers, *upgrade)

        assert both(f"Host: {here}", f"Origin: http://{here}") == (200, 101)
        assert both(f"Host: {here}") == (200, 101)  # no browser opens a websocket without saying for which page
        for origin in (
            "http://evil.example",
            "null",
            f"http://evil.example:{port}",
            f"https://{here}",
            f"http://{here}0",
        ):
            assert both(f"Host: {here}", f"Origin: {origin}") == (403, 403)
        for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "127.0.0.1", ""):
            assert both(f"Host: {host}") == (403, 403)
            assert both(f"Host: {host}", f"Origin: http://{host}") == (403, 403)
        assert both(f"Host: {here}", f"Origin: http://{here}", "Origin: http://evil.example") == (403, 403)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0


def test_an_exported_chart_is_a_download_and_no_file_of_the_server(cli: CommandLine) -> None:
    recorded.make("one")
    before = sorted(Path.cwd().iterdir())
    port = free_port()
    server = cli.begin("dashboard", "--web", "--port", str(port))
    try:
        assert server.stderr is not None
        address = re.search(r"http://\S+key=[\w-]+", server.stderr.readline())
        assert address

        async def export() -> tuple[str, str]:
            async with session() as client:
                async with client.get(address[0]):
                    pass
                async with client.ws_connect(f"ws://127.0.0.1:{port}/ws?width=150&height=40") as socket_:
                    shown = ""
                    while not re.search(r"Test accuracy\W+natural", shown):  # the curves of the run are there
                        shown = ESCAPES.sub("", shown + (await socket_.receive_bytes(timeout=PATIENCE)).decode())
                    await socket_.send_str(json.dumps(["stdin", "e"]))
                    message = await socket_.receive(PATIENCE)
                    while message.type is aiohttp.WSMsgType.BINARY or "deliver_file_start" not in message.data:
                        message = await socket_.receive(PATIENCE)
                    key = json.loads(message.data)[1]
                    async with client.get(f"http://127.0.0.1:{port}/download/{key}") as answer:
                        return answer.headers["Content-Disposition"], await answer.text()

        disposition, text = asyncio.run(export())
        assert "one-accuracy.svg" in disposition
        assert text.startswith("<svg")
        assert ">Test accuracy · one<" in text
        assert sorted(Path.cwd().iterdir()) == before
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 0


def test_it_listens_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr("domcli.dashboard.web.web.run_app", lambda app, **options: (app.close(), asked.update(options)))
    serve(["true"], 8123, lambda _: None)
    assert (asked["host"], asked["port"]) == ("127.0.0.1", 8123)


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ServingError, match=f"port {port}: .*; choose another with --port"):
            serve(["true"], port, lambda _: None)
