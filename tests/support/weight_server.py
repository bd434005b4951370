"""A web server on this machine that serves weight files, cuts them off when told to, and answers as the hub does."""

import contextlib
import email.utils
import hashlib
import http.server
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHANGED = email.utils.formatdate(1_700_000_000, usegmt=True)


class WeightServer(http.server.ThreadingHTTPServer):
    """Serves `files`; `requests` holds method, path and range of every request.

    Attributes:
        files: contents by path.
        cuts: how many of the next answers end after half of what they should hold.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.requests, self.cuts = {}, [], 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def add_to_hub(self, repository, name, content, revision="main"):
        self.files[f"/{repository}/resolve/{revision}/{name}"] = content
        self.files[f"/{repository}/resolve/{COMMIT}/{name}"] = content


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        server = self.server
        server.requests.append((self.command, self.path, self.headers.get("Range")))
        content = server.files.get(self.path.partition("?")[0])
        if content is None:
            self._end(404)
            return
        start = 0
        if (asked := self.headers.get("Range")) and self.headers.get("If-Range", CHANGED) == CHANGED:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self._end(416)
                return
        rest = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("Last-Modified", CHANGED)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body and server.cuts:
            server.cuts -= 1
            rest = rest[: len(rest) // 2]
        if body:
            self.wfile.write(rest)
        self.close_connection = True

    def _end(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 404 and "/resolve/" in self.path:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    """A server that runs within the block."""
    with WeightServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
