"""Connections to addresses that clients name: only to public ones.

Threat: whoever may submit a URL makes this server send a request from inside its network. Aimed
at a cloud's metadata service, at Redis or at an admin page, that reads or changes what the client
could not reach (server-side request forgery). A slow or endless answer ties up a worker.

Rule: the name is resolved once per connection; every address it has must be a public unicast one
(or lie in the operator's exceptions), else nothing is sent; the connection goes to an address that
was checked, never to the name again, so a second DNS answer changes nothing. TLS still verifies
the name. IPv6 forms that carry an IPv4 address are judged by it or refused. Only http(s) on the
usual ports; proxies from the environment, cookies and credentials are not used. One deadline covers
everything.

Residual risks, for the operator:

- A public address can lead inside (a router's hairpin, a public address of one's own network).
  Only an egress firewall stops that.
- The answers "refused", "failed" and "timed out" differ, so a client learns whether a public host
  answers. Addresses are never told.
- A resolver that hangs is abandoned at the deadline, but the system's lookup cannot be stopped:
  its thread ends when the resolver gives up (seconds). The lookup itself tells the name's owner
  that this server asked.
- The address of a NAT64 prefix of one's own network looks public.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from casola_ocr.errors import BadUrl, FetchFailed, FetchRefused, FetchTimeout

#: Longest URL accepted, in characters; data: URLs have the file's own limit.
MAX_URL_LENGTH = 2048

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Networks that are allowed although they are not public.
Networks = tuple[_Network, ...]

_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252})")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
# Global by Python's tables but not public: IETF assignments and the 6to4 relay (which older tables
# miss) and the address at which Azure answers its virtual machines.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Teredo lies in 2001::/23, 6to4 is 2002::/16: both end at an IPv4 address behind a relay that
# nobody runs any more. The last is for documentation.
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_REFUSED = "The URL leads to an address that is not public."
_REFUSED_PORT = "Only the ports 80 and 443 are downloaded from."
TIMED_OUT = "The URL took too long to answer."


def networks(names: Iterable[str]) -> Networks:
    """Networks by their names, such as ``10.0.0.0/8``.

    Raises:
        ValueError: one is not a network.
    """
    return tuple(ipaddress.ip_network(name) for name in names)


def validate_url(url: str, *, allow_networks: Sequence[str] = ()) -> None:
    """Refuse early what `Fetcher.fetch` would refuse without asking anybody; sends nothing.

    Passing means little: the name's addresses are only judged when they are connected to.

    Raises:
        BadUrl: not http(s), without a host, with a user or password, or too long.
        FetchRefused: the host is an address that is not public, in whatever notation, or the
            port is not allowed.
        ValueError: `allow_networks` holds something that is not a network.
    """
    parse_url(url, networks(allow_networks))


def connections(allowed: Networks, deadline: float) -> httpcore.ConnectionPool:
    """A pool of one connection that follows the rule until `deadline` (`time.monotonic`).

    Opening may raise `FetchRefused`, `FetchFailed` or `FetchTimeout`; whatever comes after it,
    httpcore's own errors or `FetchTimeout`. Within `failures` they are only the former.
    """
    return httpcore.ConnectionPool(
        ssl_context=_ssl_context(),
        network_backend=_GuardedBackend(allowed, deadline),
        max_connections=1,
    )


@contextmanager
def failures(deadline: float) -> Iterator[None]:
    """Has a connection's failures, httpcore's and the system's, raised as ours.

    Raises:
        FetchTimeout: the time was up.
        FetchFailed: any other.
    """
    try:
        yield
    except httpcore.TimeoutException as error:
        raise FetchTimeout from error
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ConnectionNotAvailable,
        OSError,
    ) as error:
        if time.monotonic() >= deadline:
            raise FetchTimeout from error
        raise FetchFailed("The connection to the document's URL failed.") from error


def target_of(url: httpx.URL) -> httpcore.URL:
    """What `parse_url` judged, as a pool wants it."""
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def timeouts(deadline: float) -> dict[str, float]:
    """The time that is left, as a request's extension wants it.

    Raises:
        FetchTimeout: none is.
    """
    return dict.fromkeys(("connect", "read", "write", "pool"), _remaining(deadline))


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    # Loading the authorities takes longer than a small download.
    return httpcore.default_ssl_context()


def parse_url(url: str, allowed: Networks) -> httpx.URL:
    """The one parse of a URL: what is judged here is what is connected to.

    Raises:
        BadUrl, FetchRefused: as `validate_url`.
    """
    if len(url) > MAX_URL_LENGTH:
        raise BadUrl(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if _UNSAFE.search(url):
        raise BadUrl("The URL holds spaces, control characters or backslashes.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        # Octal notation and the like: not a URL, but say why when it is an attack.
        _judge_literal(_host_of(url), None, allowed)
        raise BadUrl("The URL cannot be parsed.") from error
    if parsed.scheme not in _PORTS:
        raise BadUrl("The URL must start with https:// or http://.")
    if parsed.userinfo or "@" in url.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0]:
        raise BadUrl("The URL must not hold a user or a password.")
    host = parsed.raw_host.decode("ascii").lower()
    port = parsed.port or _PORTS[parsed.scheme]
    if parsed.port == 0 or port > 65535:
        raise BadUrl("The URL's port is not one.")
    literal = _judge_literal(host, port, allowed)
    if not literal and not _HOST_NAME.fullmatch(host):
        raise BadUrl("The URL has no host, or one that is not a name.")
    if not literal and not allowed and port not in _PORTS.values():
        raise FetchRefused(_REFUSED_PORT)
    return parsed


def _host_of(url: str) -> str:
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _judge_literal(host: str, port: int | None, allowed: Networks) -> bool:
    """Whether the host is an address; refuses it when it is one that is not allowed."""
    address = _literal(host)
    if address is None:
        return False
    _judge([address], port, allowed)
    return True


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # Decimal, hexadecimal, octal and shortened notations, which resolvers accept.
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeError):
        return None


def _judge(addresses: Sequence[_Address], port: int | None, allowed: Networks) -> None:
    """Refuse unless every address may be connected to at this port (None: whatever port)."""
    for address in addresses:
        effective = _effective(address)
        if any(candidate in network for candidate in (address, effective) for network in allowed):
            continue
        if not _is_public(effective):
            raise FetchRefused(_REFUSED)
        if port is not None and port not in _PORTS.values():
            raise FetchRefused(_REFUSED_PORT)


def _effective(address: _Address) -> _Address:
    """Where packets to this address end up: IPv4 inside IPv6 is unwrapped."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: _Address) -> bool:
    # None of these properties is enough alone: is_global admits multicast, is_reserved misses
    # private networks, and both follow tables that differ between versions of Python.
    if (
        not address.is_global
        or address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
    ):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _GLOBAL_UNICAST and not any(address in net for net in _NOT_PUBLIC_V6)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise FetchTimeout(TIMED_OUT)
    return remaining


def _lookup(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _resolve(host: str, port: int, deadline: float) -> list[_Address]:
    """Addresses of a host; the system's lookup has no timeout, so it is waited for in a thread."""
    literal = _literal(host)
    if literal is not None:
        return [literal]
    found: list[str] = []
    errors: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(_lookup(host, port))
        except (OSError, UnicodeError) as error:
            errors.append(error)

    thread = threading.Thread(target=look_up, name="fetch-lookup", daemon=True)
    thread.start()
    thread.join(_remaining(deadline))
    if thread.is_alive():
        raise FetchTimeout(TIMED_OUT)
    if errors or not found:
        raise FetchFailed("The URL's host name cannot be resolved.") from next(iter(errors), None)
    return [ipaddress.ip_address(text) for text in found]


class _GuardedBackend(httpcore.NetworkBackend):
    """Opens connections for one download: only to addresses that were judged, in its time."""

    def __init__(self, allowed: Networks, deadline: float):
        self._allowed = allowed
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _resolve(host, port, self._deadline)
        _judge(addresses, port, self._allowed)
        for number, address in enumerate(addresses):
            # A share for each, so that one address that drops packets does not use up the time.
            share = _remaining(self._deadline) / (len(addresses) - number)
            try:
                stream = self._inner.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
            else:
                return _DeadlineStream(stream, self._deadline)
        raise FetchFailed("The URL's host name cannot be resolved.")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise FetchRefused(_REFUSED)


class _DeadlineStream(httpcore.NetworkStream):
    """Gives each operation only the time that is left: a drip of bytes cannot renew it."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float):
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _remaining(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _remaining(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _remaining(self._deadline))
        return _DeadlineStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
