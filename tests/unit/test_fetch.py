from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr import egress
from casola_ocr.egress import validate_url
from casola_ocr.errors import (
    BadUrl,
    CasolaError,
    FetchFailed,
    FetchRefused,
    FetchTimeout,
    FileTooLarge,
)
from casola_ocr.fetch import Fetcher, decode_data_url
from tests.document_server import BODY, Handler, Server

LOOPBACK = ["127.0.0.1/32"]


@pytest.fixture(scope="module")
def running():
    server = Server(("127.0.0.1", 0), Handler)
    server.seen = []
    server.stop = threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.stop.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(running):
    running.seen.clear()
    return running


@pytest.fixture
def base(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """Nothing in this file may leave the machine, whatever is broken."""
    connect = socket.socket.connect

    def guarded(self, address):
        assert ipaddress.ip_address(address[0]).is_loopback, "a test tried to leave the machine"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def no_connections(monkeypatch):
    def refuse(self, *args, **kwargs):
        pytest.fail("a connection was opened")

    monkeypatch.setattr(egress.httpcore.SyncBackend, "connect_tcp", refuse)


def fetcher(**changes) -> Fetcher:
    values = {
        "max_bytes": 10_000,
        "timeout_seconds": 10,
        "max_redirects": 3,
        "allow_networks": LOOPBACK,
    }
    return Fetcher(**(values | changes))


def resolve_to(monkeypatch, *addresses):
    calls = []

    def look_up(host, port):
        calls.append(host)
        return list(addresses)

    monkeypatch.setattr(egress, "_lookup", look_up)
    return calls


def test_download(server, base):
    document = fetcher().fetch(f"{base}/folder/my%20scan.png?token=1#top")
    assert document.data == BODY
    assert document.file_name == "my scan.png"
    ((path, headers),) = server.seen
    assert path == "/folder/my%20scan.png?token=1"
    assert headers["Host"] == base.removeprefix("http://")
    assert headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in headers and "Authorization" not in headers


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("", "document"),
        ("/", "document"),
        ("/a/", "document"),
        ("/a%2F..%2Fb.png", "b.png"),
        ("/a%5Cc.png", "c.png"),
        ("/x%00%0Ay.png", "xy.png"),
        ("/%E2%80%AEgnp.exe", "gnp.exe"),
        ("/%FF.png", "\ufffd.png"),
    ],
)
def test_file_name(base, path, name):
    assert fetcher().fetch(base + path).file_name == name


def test_empty_and_identity_bodies(base):
    assert fetcher().fetch(f"{base}/empty").data == b""
    assert fetcher().fetch(f"{base}/identity").data == BODY


def test_proxies_from_the_environment_are_not_used(base, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetcher().fetch(f"{base}/ok").data == BODY


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/missing", "404"),
        ("/partial", "206"),
        ("/no-location", "302"),
        ("/gzip", "compressed"),
        ("/short", "failed"),
        ("/rubbish", "failed"),
    ],
)
def test_failures(base, path, words):
    with pytest.raises(FetchFailed, match=words) as caught:
        fetcher().fetch(base + path)
    assert not isinstance(caught.value, FetchTimeout)
    assert "127.0.0.1" not in caught.value.detail


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(FetchFailed):
            fetcher().fetch(f"http://127.0.0.1:{free.getsockname()[1]}/")


def test_redirects(server, base):
    document = fetcher().fetch(f"{base}/hop/3")
    assert document.data == BODY
    assert [path for path, _ in server.seen] == ["/hop/3", "/hop/2", "/hop/1", "/ok/scan.png"]
    with pytest.raises(FetchFailed, match="more than 3"):
        fetcher().fetch(f"{base}/hop/4")
    with pytest.raises(FetchFailed, match="more than 0"):
        fetcher(max_redirects=0).fetch(f"{base}/hop/1")


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1/",
        "https://10.0.0.1/",
        "//10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://0x7f.0.0.2/",
        "http://127.0.0.2/",
    ],
)
def test_redirect_to_a_private_address(server, base, target):
    with pytest.raises(FetchRefused) as caught:
        fetcher().fetch(f"{base}/to?{target}")
    assert len(server.seen) == 1
    assert "10.0" not in caught.value.detail


@pytest.mark.parametrize(
    "target",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://x/",
        "http://u:p@127.0.0.1/",
        "http://a%2eb/",
    ],
)
def test_redirect_to_another_scheme(server, base, target):
    with pytest.raises(FetchFailed, match="cannot be downloaded from"):
        fetcher().fetch(f"{base}/to?{target}")
    assert len(server.seen) == 1


def test_redirect_to_a_name_inside(server, base, monkeypatch):
    calls = resolve_to(monkeypatch, "10.0.0.1")
    with pytest.raises(FetchRefused):
        fetcher().fetch(f"{base}/to?http://inside.example/")
    assert calls == ["inside.example"]


def test_no_downgrade():
    source = egress.httpx.URL("https://a.example/x")
    with pytest.raises(FetchRefused, match="https to http"):
        fetcher()._redirect(source, b"http://a.example/y")
    assert str(fetcher()._redirect(source, b"/y#z")) == "https://a.example/y"
    for bad in (b"\xff", b"http://[/", b"http://a:b:c/"):
        with pytest.raises(FetchFailed):
            fetcher()._redirect(source, bad)


@pytest.mark.parametrize("path", ["/drip", "/drip-header", "/silent"])
def test_deadline(base, path):
    started = time.monotonic()
    with pytest.raises(FetchTimeout):
        fetcher(timeout_seconds=0.4).fetch(base + path)
    assert time.monotonic() - started < 3


def test_deadline_covers_the_name(monkeypatch, no_connections):
    release = threading.Event()
    monkeypatch.setattr(egress, "_lookup", lambda host, port: release.wait(10) and [])
    started = time.monotonic()
    with pytest.raises(FetchTimeout):
        fetcher(timeout_seconds=0.2).fetch("http://slow.example/")
    assert time.monotonic() - started < 3
    release.set()


@pytest.mark.parametrize("path", ["/claims", "/chunked", "/until-close"])
def test_too_large(base, path):
    with pytest.raises(FileTooLarge, match="10000 bytes"):
        fetcher().fetch(base + path)


def test_largest(base):
    assert fetcher(max_bytes=len(BODY)).fetch(f"{base}/ok").data == BODY
    with pytest.raises(FileTooLarge):
        fetcher(max_bytes=len(BODY) - 1).fetch(f"{base}/ok")


REFUSED_HOSTS = [
    "127.0.0.1",
    "127.1.2.3",
    "[::1]",
    "[::]",
    "0.0.0.0",  # noqa: S104
    "0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "168.63.129.16",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.0.1.",
    "127。0。0。1",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::1]",
    "[2002:0808:0808::1]",
    "[2001:0:7f00:1::1]",
    "[2001:db8::1]",
    "[fc00::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[3fff::1]",
]


@pytest.mark.parametrize("host", REFUSED_HOSTS)
def test_private_literals(host, no_connections):
    for scheme in ("http", "https"):
        with pytest.raises(FetchRefused) as caught:
            validate_url(f"{scheme}://{host}/x.png")
        assert caught.value.detail == "The URL leads to an address that is not public."
        with pytest.raises(FetchRefused):
            fetcher(allow_networks=[]).fetch(f"{scheme}://{host}/x.png")


def canonical(host: str) -> bool:
    """Whether a resolver would answer it in this form."""
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host.strip("[]").replace("%25", "%")))
    return False


@pytest.mark.parametrize(
    "address",
    [host.strip("[]").replace("%25", "%") for host in REFUSED_HOSTS if canonical(host)],
)
def test_names_that_resolve_to_private_addresses(address, monkeypatch, no_connections):
    for answer in ([address], ["8.8.8.8", address], [address, "2606:4700:4700::1111"]):
        resolve_to(monkeypatch, *answer)
        validate_url("https://a.example/")
        with pytest.raises(FetchRefused) as caught:
            fetcher(allow_networks=[]).fetch("https://a.example/")
        assert address not in caught.value.detail


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2606:4700:4700::1111]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]"]
)
def test_public_literals(host):
    validate_url(f"https://{host}/")
    with pytest.raises(FetchRefused, match="80 and 443"):
        validate_url(f"https://{host}:6379/")


def test_a_resolver_that_changes_its_mind_is_asked_once(server, monkeypatch):
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    monkeypatch.setattr(egress, "_lookup", lambda host, port: next(answers))
    port = server.server_address[1]
    assert fetcher().fetch(f"http://a.example:{port}/ok").data == BODY
    assert server.seen[0][1]["Host"] == f"a.example:{port}"
    with pytest.raises(FetchRefused):
        fetcher().fetch(f"http://a.example:{port}/ok")


def test_next_address_is_tried(server, monkeypatch):
    # Nobody listens at the first.
    resolve_to(monkeypatch, "::1", "127.0.0.1")
    url = f"http://a.example:{server.server_address[1]}/ok"
    assert fetcher(allow_networks=[*LOOPBACK, "::1/128"]).fetch(url).data == BODY


def test_ports(monkeypatch, no_connections):
    with pytest.raises(FetchRefused, match="80 and 443"):
        validate_url("http://a.example:6379/")
    # With exceptions the port depends on the address.
    validate_url("http://a.example:6379/", allow_networks=LOOPBACK)
    resolve_to(monkeypatch, "8.8.8.8")
    with pytest.raises(FetchRefused, match="80 and 443"):
        fetcher().fetch("http://a.example:6379/")
    resolve_to(monkeypatch, "127.0.0.1", "8.8.8.8")
    with pytest.raises(FetchRefused, match="80 and 443"):
        fetcher().fetch("http://a.example:6379/")


def test_exceptions_cover_embedded_addresses(no_connections):
    validate_url("http://[::ffff:127.0.0.1]:99/", allow_networks=LOOPBACK)
    validate_url("http://2130706433:99/", allow_networks=LOOPBACK)
    validate_url("http://[fd00::5]/", allow_networks=["fd00::/8"])
    with pytest.raises(FetchRefused):
        validate_url("http://127.0.0.2/", allow_networks=LOOPBACK)
    with pytest.raises(ValueError, match="not appear"):
        validate_url("http://127.0.0.2/", allow_networks=["inside"])


def test_unknown_name(monkeypatch, no_connections):
    def unknown(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(egress, "_lookup", unknown)
    with pytest.raises(FetchFailed, match="cannot be resolved"):
        fetcher().fetch("http://a.example/")


def test_a_label_that_no_resolver_takes(no_connections):
    with pytest.raises(FetchFailed, match="cannot be resolved"):
        fetcher().fetch("http://a..b/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "scan.png",
        "//a.example/x",
        "ftp://a.example/x",
        "file:///etc/passwd",
        "data:image/png;base64,AA==",
        "http://",
        "http:///x",
        "http://?x",
        "http://user@a.example/",
        "http://user:pass@a.example/",
        "http://@a.example/",
        "http://:@a.example/",
        "http://a.example\\@b.example/",
        "http://a.example/\r\nX: y",
        "http://a example/",
        "http://a.example/ x",
        "http://a%2eexample/",
        "http://%31%32%37.0.0.1/",
        "http://a.example:0/",
        "http://a.example:70000/",
        "http://a.example:x/",
        "http://[::1/",
        "http://[v1.x]/",
        "http://-a/",
        "http://①②⑦.0.0.1/",
        "http://a.example/" + "x" * 2048,
    ],
)
def test_bad_urls(url, no_connections):
    with pytest.raises(BadUrl):
        validate_url(url)
    with pytest.raises(BadUrl):
        fetcher().fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "HTTP://A.example:80/x?y=@z#w",
        "https://exämple.de/ä",
        "https://a_b.example./x@y",
        "https://a.example?next=http://user@b/",
    ],
)
def test_good_urls(url):
    validate_url(url)


@given(st.text(max_size=60))
def test_any_text_raises_only_our_errors(text):
    for url in (text, "http://" + text, "https://" + text + "/", "data:" + text, "data:," + text):
        with contextlib.suppress(CasolaError):
            validate_url(url)
        with contextlib.suppress(CasolaError):
            decode_data_url(url, 40)


@given(st.ip_addresses())
def test_public_means_global(address):
    if egress._is_public(address):
        assert address.is_global and not address.is_multicast and not address.is_reserved


def test_tls_verifies_the_name(server, monkeypatch):
    seen = []

    def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        seen.append((server_hostname, timeout, ssl_context.check_hostname))
        self.close()
        raise egress.httpcore.ConnectError("stopped by the test")

    monkeypatch.setattr(egress._DeadlineStream, "start_tls", start_tls)
    resolve_to(monkeypatch, "127.0.0.1")
    with pytest.raises(FetchFailed):
        fetcher().fetch(f"https://a.example:{server.server_address[1]}/")
    ((name, timeout, checks),) = seen
    assert name == "a.example" and checks and timeout <= 10


def test_https_to_a_server_without_tls(server, base):
    with pytest.raises(FetchFailed):
        fetcher(timeout_seconds=2).fetch(base.replace("http:", "https:"))
