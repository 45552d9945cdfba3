"""What a scenario works with."""

import asyncio
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request

from cloudsignal import Client


class World:
    """Clients of one broker, topics that no other scenario uses, and what the broker itself says."""

    def __init__(self, job, name):
        self.job = job
        self.name = name
        self.note = None

    def topic(self, suffix=""):
        return f"interop/python/{self.name}/{suffix}".rstrip("/")

    def client(self, client_id=None, **options):
        """A client over TLS, with the broker's own authority pinned."""
        if "token" not in options:
            options.setdefault("username", self.job["username"])
            options.setdefault("password", self.job["password"])
        options.setdefault("ca", self.job["ca_file"])
        options.setdefault("reconnect_first", 0.05)
        options.setdefault("reconnect_max", 0.2)
        return Client(options.pop("url", self.job["url"]), client_id=client_id or f"py-{self.name}", **options)

    async def ask_api(self, method, path, body=None):
        """The answer of the broker's HTTP API; None when there is nothing of that name."""
        return await asyncio.to_thread(self._ask_api, method, path, body)

    def _ask_api(self, method, path, body):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.job['secret_key']}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.job["api"] + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=self.job["ca_file"])
        try:
            with urllib.request.urlopen(request, context=context) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    async def filters(self, client_id):
        """What a client is subscribed to, as the broker says."""
        session = await self.ask_api("GET", "/v2/sessions/" + urllib.parse.quote(client_id, safe=""))
        return [it["filter"] for it in session["subscriptions"]] if session else []

    async def until(self, what, condition):
        """Waits until something is so: the broker is asked again and again, because nobody tells."""
        while not await condition():
            # sleep: between two questions
            await asyncio.sleep(0.02)
        return what


async def take(messages, count):
    """The next messages of a subscription."""
    return [await anext(messages) for _ in range(count)]
