"""A device: it reports what it measures, does what it is told, and loses nothing while the network is away."""

import asyncio
import json
import os
import random
import urllib.request

from cloudsignal import Client, Session, Token


def tokens_from(url):
    """A token provider that asks the devices' own server."""

    def fetch():
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)

    async def provider(reason):
        made = await asyncio.to_thread(fetch)
        print(f"a token ({reason})")
        return Token(made["password"], lifetime=made["lifetime"])

    return provider


async def report(client, name, readings, pause):
    """Publishes readings, and does not wait for the network: what cannot be sent now is sent later."""
    sendings = []
    for number in range(readings):
        reading = {"number": number, "celsius": round(20 + random.random() * 5, 1)}
        sendings.append(await client.send(f"devices/{name}/readings", json.dumps(reading), qos=2))
        await asyncio.sleep(pause)
    for sending in sendings:
        await sending
    print(f"{readings} readings are with the broker")


async def obey(client, name):
    """Does what it is told."""
    async for command in client.messages(f"devices/{name}/commands"):
        print(f"told to {command.text()}")


async def watch(client):
    """Tells how the connection is."""
    async for event in client.events():
        print(f"session {event.continuity}" if isinstance(event, Session) else f"now {event}")


async def run(name, url, tokens, ca=None, store=None, readings=20, pause=0.1):
    """Reports so many readings, and listens meanwhile."""
    client = Client(url, token=tokens, client_id=f"device-{name}", ca=ca, store=store, reconnect_max=1.0)
    async with client:
        listening = [asyncio.create_task(obey(client, name)), asyncio.create_task(watch(client))]
        await report(client, name, readings, pause)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(
        run(
            os.environ.get("DEVICE", "kitchen"),
            os.environ.get("CLOUDSIGNAL_MQTT_URL", "mqtt://localhost:1883"),
            tokens_from(os.environ.get("TOKEN_URL", "http://127.0.0.1:8090/token/kitchen")),
            ca=os.environ.get("CLOUDSIGNAL_CA_FILE"),
            store=os.environ.get("DEVICE_STORE"),
            readings=1_000,
            pause=1.0,
        )
    )
