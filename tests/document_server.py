"""A web server whose documents come in every good and bad way that HTTP allows."""

from __future__ import annotations

import contextlib
import gzip
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"\x89PNG the document"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body=BODY, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, target, status=302):
        self.answer(b"moved", status, Location=target)

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        with contextlib.suppress(OSError):
            self.route()

    def route(self):
        path = self.path.partition("?")[0]
        if path.startswith("/hop/"):
            left = int(path.rsplit("/", 1)[-1])
            self.redirect(f"/hop/{left - 1}" if left > 1 else "../ok/scan.png", 301 + left % 3)
        elif path == "/to":
            self.redirect(self.path.partition("?")[2])
        elif path == "/no-location":
            self.answer(b"", 302)
        elif path == "/missing":
            self.answer(b"nothing", 404)
        elif path == "/partial":
            self.answer(BODY, 206)
        elif path == "/gzip":
            self.answer(gzip.compress(BODY), Content_Encoding="gzip")
        elif path == "/identity":
            self.answer(Content_Encoding="identity")
        elif path == "/empty":
            self.answer(b"")
        elif path == "/claims":
            self.answer(b"", Content_Length="999999999")
        elif path == "/short":
            self.answer(BODY, Content_Length="999")
            self.close_connection = True
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(b"400\r\n" + bytes(1024) + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/until-close":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bytes(100_000))
            self.close_connection = True
        elif path == "/drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not self.server.stop.wait(0.05):
                self.wfile.write(b"x")
        elif path == "/drip-header":
            while not self.server.stop.wait(0.05):
                self.wfile.write(b"H")
        elif path == "/silent":
            self.server.stop.wait(10)
        elif path == "/rubbish":
            self.wfile.write(b"\0\0\0 not http\r\n\r\n")
            self.close_connection = True
        else:
            self.answer()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET
