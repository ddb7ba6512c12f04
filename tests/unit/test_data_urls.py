from __future__ import annotations

import base64

import pytest

from casola_ocr.errors import BadDataUrl, EmptyFile, FileTooLarge
from casola_ocr.fetch import decode_data_url

DATA = bytes(range(256))
ENCODED = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:image/png;base64," + ENCODED, DATA),
        ("DATA:image/png;charset=x;BASE64," + ENCODED, DATA),
        ("data:;base64," + ENCODED, DATA),
        ("data:;base64," + ENCODED.replace("=", "%3D").replace("+", "%2b"), DATA),
        ("data:," + "".join(f"%{byte:02X}" for byte in DATA), DATA),
        ("data:text/plain,a%20b,c", b"a b,c"),
        ("data:base64,AAAA", b"AAAA"),
    ],
)
def test_data_urls(url, data):
    assert decode_data_url(url, 256) == data


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data:",
        "data:image/png",
        "http://a/,x",
        "data:;base64,A",
        "data:;base64,AAA",
        "data:;base64,AA AA",
        "data:;base64,AA\nAA",
        "data:;base64,AA==AA==",
        "data:;base64,A-_A",
        "data:;base64,AAA%",
        "data:,%4",
        "data:,%zz",
        "data:,ä",
    ],
)
def test_bad_data_urls(url):
    with pytest.raises(BadDataUrl):
        decode_data_url(url, 256)


@pytest.mark.parametrize("url", ["data:,", "data:;base64,", "data:image/png;base64,"])
def test_empty_data_urls(url):
    with pytest.raises(EmptyFile):
        decode_data_url(url, 256)


@pytest.mark.parametrize("size", range(7))
def test_data_url_limit(size):
    body = bytes(size + 1)
    urls = [
        "data:;base64," + base64.b64encode(body).decode(),
        "data:;base64," + "".join(f"%{byte:02x}" for byte in base64.b64encode(body)),
        "data:," + "%00" * len(body),
        "data:," + "x" * len(body),
    ]
    for url in urls:
        assert len(decode_data_url(url, size + 1)) == size + 1
        with pytest.raises(FileTooLarge):
            decode_data_url(url, size)
    with pytest.raises(FileTooLarge):
        decode_data_url("data:;base64," + "!" * 100_000, size)
