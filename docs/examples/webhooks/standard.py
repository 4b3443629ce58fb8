"""Takes webhooks with the library of Standard Webhooks, whose signature covers the time of sending: what is older than
five minutes is refused. SECRET and PORT as in `receiver.py`.
"""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["SECRET"])
seen = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = webhook.verify(body, headers)
        except WebhookVerificationError:
            self.answer(401)
            return
        # Within the five minutes, and for tries of ours that you have answered, the id still has to be remembered.
        if event["event_id"] not in seen:
            seen.add(event["event_id"])
            print(event["event_id"], event["event"], flush=True)
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
