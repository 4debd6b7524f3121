"""Which addresses may be called on somebody's word: a guard against request forgery.

A person types an address and this process calls it, from where it stands in the network. So
addresses with a password in them are refused, so are clouds' metadata servers however they are
written and whatever name leads to them, redirects are not followed (`inference.py`), and where
strangers may reach the console only listed servers are called.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import urllib.request
from collections.abc import Collection
from contextlib import suppress
from typing import Final

import httpx

from core.errors import Denied, Invalid

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Metadata services beyond link-local: AWS over IPv6, Azure's wire server, Alibaba's.
_METADATA: Final = frozenset(
    ipaddress.ip_address(a) for a in ("fd00:ec2::254", "168.63.129.16", "100.100.100.200")
)
_METADATA_NAMES: Final = frozenset({"metadata", "metadata.goog", "metadata.google.internal"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def check_url(text: str, allowed: Collection[str] | None = None) -> httpx.URL:
    """A server's base address, without a slash at its end.

    Args:
        text: as somebody wrote it.
        allowed: "host" or "host:port" of every server that may be called; None: any may.

    Raises:
        Invalid: it is not a plain http:// or https:// address. The message never repeats what may
            be a secret.
        Denied: that server may not be called.
    """
    text = text.strip()
    if any(c.isspace() for c in text):
        raise Invalid("An address has no spaces in it", hint=_EXAMPLE)
    try:
        url = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL as error:  # its words repeat what was typed
        raise Invalid("This is no address of a server", hint=_EXAMPLE) from error
    if url.scheme not in _DEFAULT_PORTS:
        raise Invalid("Only http:// and https:// addresses can be called", hint=_EXAMPLE)
    if url.userinfo or "@" in text or "\\" in text:
        raise Invalid(
            "An address may hold no user name or password: it would be shown and exported",
            resource=url.host,
            hint="Enter the address without them; a key has a field of its own",
        )
    if not url.host:
        raise Invalid("The address names no host", hint=_EXAMPLE)
    if url.query or url.fragment:
        raise Invalid("A base address has no ? or # in it", resource=url.host, hint=_EXAMPLE)
    _check_host(url.host)
    if allowed is not None and not _listed(url, allowed):
        raise Denied(
            f"{url.host} is not among the servers that this console may call",
            resource=url.host,
            hint="This console can be reached from other machines: whoever runs it lists the "
            "servers in [playground] allowed_servers of heartwood.toml",
        )
    return url


_EXAMPLE: Final = "For example https://host:8000/v1"


def _listed(url: httpx.URL, allowed: Collection[str]) -> bool:
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = url.port or _DEFAULT_PORTS[url.scheme]
    wanted = {url.host.lower(), host.lower(), f"{host}:{port}".lower()}
    return any(entry.lower() in wanted for entry in allowed)


def make_transport(url: httpx.URL) -> httpx.BaseTransport:
    """How that server is reached: directly, each address looked at, or through a proxy.

    Proxies are those of the environment; none leads to this machine.
    """
    proxy = _proxy_for(url)
    return _CheckedTransport() if proxy is None else httpx.HTTPTransport(proxy=proxy)


def make_async_transport(url: httpx.URL) -> httpx.AsyncBaseTransport:
    """Likewise, for an event loop."""
    proxy = _proxy_for(url)
    return _AsyncCheckedTransport() if proxy is None else httpx.AsyncHTTPTransport(proxy=proxy)


def _proxy_for(url: httpx.URL) -> str | None:
    if _is_loopback(url.host) or urllib.request.proxy_bypass(url.host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    # The proxy looks the name up again, and may be the only one that knows it: what it means here
    # is as much as can be checked.
    with suppress(httpx.ConnectError):
        _resolve(url.host, url.port or _DEFAULT_PORTS[url.scheme])
    return proxy if "://" in proxy else f"http://{proxy}"


class _CheckedTransport(httpx.BaseTransport):
    """Looks a name up once, checks the addresses, and connects to those and no others."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host, port = _place(request)
        addresses = _resolve(host, port)
        for number, address in enumerate(addresses, 1):
            try:
                return self._inner.handle_request(_direct(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("a name has at least one address")

    def close(self) -> None:
        self._inner.close()


class _AsyncCheckedTransport(httpx.AsyncBaseTransport):
    """As `_CheckedTransport`; names are looked up in a thread."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, port = _place(request)
        addresses = await asyncio.to_thread(_resolve, host, port)
        for number, address in enumerate(addresses, 1):
            try:
                return await self._inner.handle_async_request(_direct(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("a name has at least one address")

    async def aclose(self) -> None:
        await self._inner.aclose()


def _place(request: httpx.Request) -> tuple[str, int]:
    return request.url.host, request.url.port or _DEFAULT_PORTS[request.url.scheme]


def _direct(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """The same request to one address of its host, with the name as Host and for TLS."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, all of them checked; ConnectError when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{host} has no address: {error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if is_refused(address):
            raise _refusal(host)
    return addresses


def _check_host(host: str) -> None:
    if host.lower().rstrip(".") in _METADATA_NAMES:
        raise _refusal(host)
    try:
        refused = is_refused(host)
    except ValueError:
        return  # a name: looked at when it is looked up
    if refused:
        raise _refusal(host)


def _refusal(host: str) -> Denied:
    return Denied(
        f"{host} is a link-local or metadata address, which is never called",
        resource=host,
        hint="Such addresses hand out the machine's own credentials",
    )


def is_refused(address: str) -> bool:
    """Whether an IP address is never called: link-local, a metadata service, multicast.

    Raises:
        ValueError: it is no IP address.
    """
    ip = _plain(ipaddress.ip_address(address.partition("%")[0]))
    return ip.is_link_local or ip.is_multicast or ip in _METADATA


def _plain(ip: _Address) -> _Address:
    """The IPv4 address that an IPv6 one carries, where it carries one."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
