"""A server that knows its devices, and gives them tokens. It has the organization's secret key, which no device ever sees."""

import json
import os
import ssl
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

API_URL = os.environ.get("CLOUDSIGNAL_API_URL", "http://localhost:18080")
SECRET_KEY = os.environ.get("CLOUDSIGNAL_SECRET_KEY", "")
CA_FILE = os.environ.get("CLOUDSIGNAL_CA_FILE")

#: Where the server listens; 0 takes any port.
PORT = int(os.environ.get("PORT", "8090"))
#: How long a token lives, seconds. A device asks for another one long before.
TOKEN_SECONDS = 3_600


def make_token(device):
    """A token of the broker for one device, which may use its own topics only."""
    grants = [{"topic": f"devices/{device}/#", "action": "pub+sub"}]
    body = {"user_email": f"{device}@devices.example", "ttl": TOKEN_SECONDS, "scope": grants}
    headers = {"Authorization": f"Bearer {SECRET_KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{API_URL}/v2/tokens/create", json.dumps(body).encode(), headers)
    context = ssl.create_default_context(cafile=CA_FILE) if API_URL.startswith("https") else None
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        made = json.load(answer)
    return {"password": made["access_token"], "lifetime": made["expires_in"]}


class Handler(BaseHTTPRequestHandler):
    """`GET /token/NAME`. A real server asks the device for its own secret first."""

    def do_GET(self):
        _, kind, name = (self.path.split("/") + ["", ""])[:3]
        if kind != "token" or not name.isalnum():
            return self.send_error(404)
        try:
            body = json.dumps(make_token(name)).encode()
        except OSError as error:
            return self.send_error(502, str(error))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start(port=PORT):
    """The server, which is to be run or stopped by whoever asks."""
    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    with start() as server:
        print(f"tokens at http://127.0.0.1:{server.server_port}/token/NAME")
        server.serve_forever()
