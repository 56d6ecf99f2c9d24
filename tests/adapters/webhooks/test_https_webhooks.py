"""An address that a tenant named is hostile: only public ones are called, at the address that was checked."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from shared.adapters.webhooks.https_webhooks import HttpsWebhooks
from shared.ports.webhooks import AddressRefused, NoAnswer

PUBLIC = "93.184.215.14"


def resolving(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.8", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
        "fd00::1", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "224.0.0.1", "2002:7f00:1::",
    ],
)  # fmt: skip
async def test_a_name_with_a_private_address_is_refused(address: str) -> None:
    webhooks = HttpsWebhooks(allow_this_machine=False, resolve=resolving(PUBLIC, address))
    with pytest.raises(AddressRefused, match="public addresses only"):
        await webhooks.check("https://shop.example/hook")
    with pytest.raises(AddressRefused):
        await webhooks.send("https://shop.example/hook", b"{}", {})


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/computeMetadata/v1/", "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/", "http://shop.example/hook", "http://127.0.0.1:8080/", "ftp://shop.example/",
        "file:///etc/passwd", "gopher://shop.example/", "https://user:pass@shop.example/", "https:///hook",
        "https://shop.example:99999/", "https://shop.example/#x", "https://shop.example/a b", "https://shöp.example/",
        "https://shop.example\\@127.0.0.1/", "javascript:alert(1)", "", "https://0x7f.1/", "https://2130706433/",
    ],
)  # fmt: skip
async def test_in_the_cloud_only_https_to_public_hosts_is_allowed(url: str) -> None:
    async def resolve(host: str, _port: int) -> Sequence[str]:
        return ("127.0.0.1",) if host in ("0x7f.1", "2130706433", "localhost") else (PUBLIC,)

    with pytest.raises(AddressRefused):
        await HttpsWebhooks(allow_this_machine=False, resolve=resolve).check(url)


@pytest.mark.parametrize("url", ["https://shop.example/hook", "https://shop.example:8443/?a=b", f"https://{PUBLIC}/"])
async def test_public_https_addresses_are_allowed(url: str) -> None:
    await HttpsWebhooks(allow_this_machine=False, resolve=resolving(PUBLIC)).check(url)


async def test_on_one_machine_loopback_is_allowed_and_the_network_is_not() -> None:
    webhooks = HttpsWebhooks(allow_this_machine=True, resolve=resolving("127.0.0.1"))
    await webhooks.check("http://127.0.0.1:8080/hook")
    await webhooks.check("http://localhost:8080/hook")
    for address in ("10.0.0.1", "169.254.169.254", PUBLIC):
        with pytest.raises(AddressRefused):
            await webhooks.check(f"http://{address}/hook")
    with pytest.raises(AddressRefused):
        await webhooks.check("https://10.0.0.1/hook")


async def test_an_error_shows_the_host_and_never_path_or_query() -> None:
    webhooks = HttpsWebhooks(allow_this_machine=False, resolve=resolving("10.0.0.1"))
    with pytest.raises(AddressRefused) as refused:
        await webhooks.check("https://shop.example/hush?token=hush")
    assert "shop.example" in str(refused.value)
    assert "hush" not in str(refused.value)


async def test_a_name_that_cannot_be_resolved_is_no_answer() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("not known")

    webhooks = HttpsWebhooks(allow_this_machine=False, resolve=resolve)
    with pytest.raises(NoAnswer, match=r"shop\.example is not known"):
        await webhooks.send("https://shop.example/hook", b"{}", {})
    with pytest.raises(AddressRefused):
        await webhooks.check("https://shop.example/hook")


@asynccontextmanager
async def answering(reply: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on loopback that sends `reply` after each request; nothing at all for an empty one."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
            )
            heads.append(head + await reader.readexactly(length))
            if not reply:
                await reader.read()
            writer.write(reply)
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


async def test_the_body_arrives_as_it_was_signed() -> None:
    async with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, heads):
        webhooks = HttpsWebhooks(allow_this_machine=True)
        answer = await webhooks.send(f"http://127.0.0.1:{port}/hook?a=b", '{"é": 1}'.encode(), {"webhook-id": "msg_1"})
    assert answer.is_delivered
    head, _, body = heads[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=b HTTP/1.1")
    assert b"webhook-id: msg_1" in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert body == '{"é": 1}'.encode()


async def test_a_redirect_is_not_followed() -> None:
    async with answering(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\n\r\n") as (
        port,
        heads,
    ):
        answer = await HttpsWebhooks(allow_this_machine=True).send(f"http://127.0.0.1:{port}/", b"{}", {})
    assert answer.http_status == 307
    assert not answer.is_delivered
    assert len(heads) == 1


async def test_retry_after_is_read() -> None:
    async with answering(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n") as (
        port,
        _,
    ):
        answer = await HttpsWebhooks(allow_this_machine=True).send(f"http://127.0.0.1:{port}/", b"{}", {})
    assert answer.retry_after == timedelta(seconds=120)


async def test_an_endless_answer_costs_no_more_than_its_head() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nxxxx") as (port, _):
        answer = await HttpsWebhooks(allow_this_machine=True).send(f"http://127.0.0.1:{port}/", b"{}", {})
    assert answer.is_delivered


async def test_silence_is_no_answer_after_the_time_limit() -> None:
    async with answering(b"") as (port, _):
        webhooks = HttpsWebhooks(allow_this_machine=True, timeout=timedelta(seconds=0.2))
        with pytest.raises(NoAnswer):
            await webhooks.send(f"http://127.0.0.1:{port}/", b"{}", {})


async def test_the_connection_goes_to_the_checked_address_and_the_certificate_is_for_the_name(tmp_path: Path) -> None:
    """A second look-up could give another address; the name still stands in Host and in the certificate."""
    key, certificate = _certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    looked_up: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        looked_up.append(host)
        return ("127.0.0.1",)

    trusting = ssl.create_default_context(cafile=str(certificate))
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", serving) as (port, heads):
        webhooks = HttpsWebhooks(allow_this_machine=True, tls=trusting, resolve=resolve)
        assert (await webhooks.send(f"https://hook.test:{port}/", b"{}", {})).is_delivered
        assert f"host: hook.test:{port}".encode() in heads[0].lower()
        with pytest.raises(NoAnswer):
            await webhooks.send(f"https://other.test:{port}/", b"{}", {})
    assert looked_up == ["hook.test", "other.test"]


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for hook.test."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=hook.test"
    subprocess.run([*command.split(), "-addext", "subjectAltName=DNS:hook.test"], check=True, capture_output=True)
    return key, certificate
