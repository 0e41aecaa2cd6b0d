"""An S3 that has no time for anybody: every request is answered as AWS answers one too many.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, code SlowDown.
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""
PORT = 4566


class Unavailable(BaseHTTPRequestHandler):
    """Refuses, whatever is asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def refuse(self) -> None:
        """Read the request to its end, as a server does, and refuse it."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(503, "Slow Down")
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(BODY)
        self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = refuse  # noqa: N815 - the base class looks for these names


ThreadingHTTPServer(("", PORT), Unavailable).serve_forever()
