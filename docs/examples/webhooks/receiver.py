"""Takes webhooks with the standard library alone, by the published header.

SECRET is the endpoint's whole `whsec_…`, PORT where to listen (any free one by default).

The header says who wrote a body, not when: whoever has seen a request can send it again. So every event id is
remembered, and a second one with the same id is answered like the first and otherwise ignored. A real receiver keeps
the ids where a restart does not lose them, for as long as it takes what old events say for new.
"""

import hashlib
import hmac
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = os.environ["SECRET"].encode()
seen = set()


def is_genuine(body: bytes, header: str) -> bool:
    """Whether the body, byte by byte as it came, was signed with our secret."""
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), header.encode())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_genuine(body, self.headers.get("X-AVYCENNA-Signature", "")):
            self.answer(401)
            return
        event = json.loads(body)
        if event["event_id"] not in seen:
            seen.add(event["event_id"])
            print(event["event_id"], event["event"], flush=True)
        # Answer at once and work afterwards: after ten seconds the event is sent again.
        self.answer(204)

    def answer(self, status: int):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Receiver)
print("listening on port", server.server_port, flush=True)
server.serve_forever()
