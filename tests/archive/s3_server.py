"""As much of an S3 server as reading takes: listing, HEAD, and GET of ranges, of the files of a folder.

Moto's server would bring fifty packages, one of which (botocore) refuses the python-dateutil that is pinned.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@contextmanager
def s3_server(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve ``root/<bucket>/<key>`` on loopback: (address, requests as they come)."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def answer(self, *, with_body: bool) -> None:
            url = urlsplit(self.path)
            seen.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
            path, headers, status = root / unquote(url.path).strip("/"), {}, 200
            if "list-type" in url.query:
                body = listing(path, parse_qs(url.query)).encode()
            elif path.is_file():
                body = path.read_bytes()
                headers = {
                    "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
                    "Accept-Ranges": "bytes",
                }
                if span := self.headers.get("Range"):
                    first, last = (int(text or len(body)) for text in span.removeprefix("bytes=").split("-"))
                    status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{len(body)}"
                    body = body[first : last + 1]
            else:
                body, status = b"", 404
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body)), "ETag": '"x"'}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def listing(bucket: Path, query: dict[str, list[str]]) -> str:
    """ListObjectsV2, with what lies deeper than the delimiter as common prefixes; in one page."""
    prefix = query.get("prefix", [""])[0]
    files, deeper = [], set()
    for path in sorted(path for path in bucket.rglob("*") if path.is_file()):
        key = path.relative_to(bucket).as_posix()
        if not key.startswith(prefix):
            continue
        rest = key.removeprefix(prefix)
        if "delimiter" in query and "/" in rest:
            deeper.add(prefix + rest.split("/")[0] + "/")
        else:
            files.append((key, path.stat().st_size))
    found = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-03-01T22:15:00.000Z</LastModified>"
        f"<ETag>x</ETag><Size>{size}</Size></Contents>"
        for key, size in files
    )
    for one in sorted(deeper):
        found += f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket.name}</Name><Prefix>{escape(prefix)}</Prefix>"
        f"<KeyCount>{len(files) + len(deeper)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    )
