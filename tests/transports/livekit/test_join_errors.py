"""What answers where a LiveKit server should be, told apart: each with its own words, next step and exit code."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.transports.livekit.conftest import Run
from tests.waiting import PATIENCE_S
from workbench import open_session
from workbench.config import load_settings
from workbench.model.errors import WorkbenchError
from workbench.transports.livekit import admin
from workbench.transports.livekit.join_errors import explain, from_sdk_error
from workbench.transports.livekit.probe import probe
from workbench.transports.livekit.server import LocalServer
from workbench.transports.livekit.token import Access

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PAGE = "<html><body>Welcome to the proxy</body></html>"


def saying(*words: str) -> Handler:
    """A server that says this to whatever it is asked, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write("\r\n".join(words).encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return answer


def http(status: str, body: str = "", *more: str) -> Handler:
    return saying(
        f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "RoomConnector: close", *more, "", body
    )


def without_end() -> Handler:
    return saying("HTTP/1.1 200 OK", "X: " + "x" * 200_000)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(1024):
            pass
    finally:
        writer.transport.abort()


async def rude(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def certified(folder: Path, name: str) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody signed but itself."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=x", "-keyout", str(key), "-out", str(certificate)]
    words += ["-addext", f"subjectAltName={name}", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def told(handler: Handler, *, tls: ssl.SSLContext | None = None, scheme: str = "ws") -> tuple[int, str]:
    """Exit code and words of an agent that joins at such a server."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
    async with server:
        return await joins(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def joins(url: str) -> tuple[int, str]:
    given = {"profile": "scripted", "audio.source": "room", "audio.sink": "room", "record.enabled": False}
    given |= {"room.name": "x", "room.url": url, "room.api_key": "key", "room.api_secret": "s" * 40}
    async with open_session(load_settings({**given, "room.connect_s": 4}, environ={})) as session:
        with pytest.raises(WorkbenchError) as failed:
            await asyncio.wait_for(session.ended(), PATIENCE_S)
    return failed.value.exit_code, str(failed.value)


@pytest.mark.room
def test_whatever_answers_has_its_own_words_and_exit_code(tmp_path: Path) -> None:
    unsigned = certified(tmp_path, "IP:127.0.0.1")

    async def all_of_them() -> None:
        results = await asyncio.gather(
            told(http("404 Not Found", PAGE)),
            told(http("200 OK", PAGE)),
            told(http("403 Forbidden", PAGE)),
            told(http("302 Found", "", "Location: http://127.0.0.1:9/")),
            told(http("503 Service Unavailable", PAGE)),
            told(http("407 Proxy Authentication Required", "x")),
            told(http("429 Too Many Requests", "slow")),
            told(saying("SSH-2.0-x", "")),
            told(silent),
            told(silent, scheme="wss"),
            told(http("404 Not Found", PAGE), tls=unsigned),
            told(http("404 Not Found", PAGE), tls=unsigned, scheme="wss"),
            joins("ws://no-such-host.invalid:7880"),
        )
        for (code, words), (wanted, reason, hint) in zip(results, WANTED, strict=True):
            assert code == wanted, words
            assert reason in words
            assert hint in words

    asyncio.run(all_of_them())


WANTED = [
    (2, "answers, but is no LiveKit server (HTTP 404", "are host and port right?"),
    (2, "answers, but is no LiveKit server (HTTP 200", "must pass WebSockets on"),
    (2, "answers, but is no LiveKit server (HTTP 403", "are host and port right?"),
    (2, "sends us elsewhere (HTTP 302", "the address of the LiveKit server itself"),
    (3, "is not ready (HTTP 503", "see the proxy's log"),
    (2, "a proxy wants a password (HTTP 407", "connect past the proxy"),
    (3, "has too much to do", "try again later"),
    (2, "speaks no HTTP", "are host and port right?"),
    (3, "does not answer", "is the server running"),
    (3, "makes no secure connection", "is reached by ws://"),
    (3, "hangs up", "one with TLS is reached by wss://"),
    (2, "the certificate is not trusted (self-signed certificate", "an authority that this machine trusts"),
    (3, "there is no such host", "is the url right"),
]


def test_a_head_without_an_end_is_no_http() -> None:
    async def ask() -> None:
        server = await asyncio.start_server(without_end(), "127.0.0.1", 0)
        async with server:
            found = await probe(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert found.error is not None
        assert (found.error.exit_code, "speaks no HTTP" in found.error.reason) == (2, True)

    asyncio.run(ask())


def test_a_certificate_for_another_host_is_told_from_one_that_nobody_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = certified(tmp_path, "DNS:elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "DNS:elsewhere.example.crt"))

    async def ask() -> None:
        server = await asyncio.start_server(http("200 OK", "OK"), "127.0.0.1", 0, ssl=elsewhere)
        async with server:
            found = await probe(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert found.error is not None
        assert "the certificate is somebody else's" in found.error.reason
        assert "the host name that the certificate is for" in found.error.hint

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("ahead_s", "reason", "hint"),
    [
        (0, "the token has expired", "the server's agree: get a new token"),
        (3600, "this machine's clock is 60 min ahead of the server's", "set the clock"),
        (-600, "this machine's clock is 10 min behind the server's", "set the clock"),
    ],
)
def test_a_token_that_is_refused_for_its_times_names_the_clock_that_is_wrong(
    ahead_s: float, reason: str, hint: str
) -> None:
    said = Exception("engine: signal failure: client error: 401 Unauthorized - token is expired (exp)")

    async def ask() -> None:
        date = f"Date: {formatdate(time.time() - ahead_s, usegmt=True)}"
        server = await asyncio.start_server(http("200 OK", "OK", date), "127.0.0.1", 0)
        async with server:
            error = await explain(said, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", "x")
        assert error.exit_code == 2
        assert reason in error.reason
        assert hint in error.hint

    asyncio.run(ask())


@pytest.mark.room
def test_commands_say_it_too(tmp_path: Path) -> None:
    async def lists(
        handler: Handler, scheme: str = "ws", tls: ssl.SSLContext | None = None
    ) -> tuple[int, str]:
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
        async with server:
            url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(WorkbenchError) as failed:
                await admin.rooms(Access(url, "key", "s" * 40))
        return failed.value.exit_code, failed.value.reason

    async def all_of_them() -> None:
        unsigned = certified(tmp_path, "IP:127.0.0.1")
        for call, wanted, reason in (
            (lists(http("404 Not Found", PAGE)), 2, "answers, but is no LiveKit server (HTTP 404"),
            (lists(http("200 OK", PAGE)), 2, "answers, but is no LiveKit server (HTTP 200"),
            (lists(http("502 Bad Gateway", PAGE)), 3, "is not ready (HTTP 502"),
            (lists(rude), 3, "hangs up"),
            (lists(http("200 OK", PAGE), "wss", unsigned), 2, "the certificate is not trusted"),
        ):
            code, said = await call
            assert code == wanted, said
            assert reason in said

    asyncio.run(all_of_them())


@pytest.mark.room
def test_the_clock_of_a_real_server_is_read(with_server: Run) -> None:
    async def ask(server: LocalServer) -> None:
        found = await probe(server.url)
        assert found.error is None
        assert found.ahead_s is not None
        assert abs(found.ahead_s) < 30

    with_server(ask)


def test_what_a_server_says_is_shown_plain_and_without_tokens() -> None:
    said = f"engine: signal failure: client error: 404 Not Found - \x1b[2J{PAGE} eyJhbGciOiJ9.eyJpc3MiOi.c2ln"
    error = from_sdk_error(Exception(said), "wss://user:hidden@host.example/x", "x")
    assert "\x1b" not in str(error)
    assert "eyJ" not in str(error)
    assert "hidden" not in str(error)
    assert "host.example" in error.reason


def test_no_route_for_sound_is_told_apart() -> None:
    error = from_sdk_error(
        Exception("engine: connection failure: wait_pc_connection timed out"), "wss://host", "x"
    )
    assert "sound finds no way" in error.reason
    assert "UDP" in error.hint
