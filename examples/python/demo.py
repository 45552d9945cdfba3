"""All of it at once: the server for tokens, a device behind a cable, and somebody who reads what it reports. In the middle
the cable is pulled out, and every reading arrives all the same."""

import asyncio
import os
import sys
import tempfile
import threading
from urllib.parse import urlsplit

import device
import server
from cable import Cable
from cloudsignal import Client

URL = os.environ.get("CLOUDSIGNAL_MQTT_URL", "mqtt://localhost:1883")
CA_FILE = os.environ.get("CLOUDSIGNAL_CA_FILE")
PORTS = {"mqtt": 1_883, "mqtts": 8_883, "ws": 80, "wss": 443}

READINGS = 30
#: After so many readings the cable is pulled out, and so many more are measured before it is back.
PULLED_AFTER, AWAY = 10, 1.0


async def read(client, readings, cable):
    """Reads what the device reports, gives it a command, and pulls the cable out for a while."""
    numbers = []
    async for reading in readings:
        numbers.append(reading.json()["number"])
        print(f"reading {reading.text()}")
        if len(numbers) == 3:
            await client.publish("devices/kitchen/commands", "open the window")
        if len(numbers) == PULLED_AFTER:
            print("the cable is out")
            cable.pull_out()
            asyncio.get_running_loop().call_later(AWAY, lambda: asyncio.ensure_future(cable.plug_in()))
        if len(numbers) == READINGS:
            return numbers


async def main():
    tokens = server.start(port=0)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    token_url = f"http://127.0.0.1:{tokens.server_port}/token"
    there = urlsplit(URL)
    cable = Cable(there.hostname, there.port or PORTS[there.scheme])
    await cable.plug_in()
    behind = there._replace(netloc=f"localhost:{cable.port}").geturl()
    with tempfile.TemporaryDirectory() as store:
        reader = Client(URL, token=device.tokens_from(f"{token_url}/kitchen"), client_id="reader", ca=CA_FILE)
        async with reader, reader.subscribe("devices/kitchen/readings", qos=2) as readings:
            reading = asyncio.create_task(read(reader, readings, cable))
            provider = device.tokens_from(f"{token_url}/kitchen")
            await device.run("kitchen", behind, provider, ca=CA_FILE, store=store, readings=READINGS)
            numbers = await reading
    tokens.shutdown()
    print(f"{len(numbers)} of {READINGS} readings, {'in order' if numbers == sorted(set(numbers)) else 'not in order'}")
    return 0 if numbers == list(range(READINGS)) else 1


sys.exit(asyncio.run(main()))
