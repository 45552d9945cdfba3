"""The scenario's commands, carried out by our Python package: see ../README.md."""

import asyncio
import json
import sys

from cloudsignal import Client, Session, State, Token, Will


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Runner:
    def __init__(self):
        self.tokens = asyncio.Queue()
        self.outcomes = asyncio.Queue()
        self.subscriptions = {}
        self.tasks = []

    def spawn(self, task):
        self.tasks.append(asyncio.create_task(task))

    async def token(self, reason):
        tell("token_wanted", reason=reason)
        command = await self.tokens.get()
        return Token(command["password"], lifetime=command["lifetime_ms"] / 1_000)

    async def obey(self, command):
        match command["do"]:
            case "open":
                will = Will(**command["will"])
                options = dict(ca=command["ca_file"], client_id=command["client_id"], will=will)
                self.client = Client(
                    command["url"], token=self.token, reconnect_first=0.1, reconnect_max=0.1, **options
                )
                await self.client.open()
                self.spawn(self.watch())
                self.spawn(self.tell_outcomes())
            case "token":
                await self.tokens.put(command)
            case "subscribe":
                self.spawn(self.read(command["filter"], command["qos"]))
            case "unsubscribe":
                self.spawn(self.unsubscribe(command["filter"]))
            case "publish":
                await self.publish(command)
            case "suspend":
                self.client.suspend()
            case "resume":
                self.client.resume()

    async def watch(self):
        async for event in self.client.events():
            if isinstance(event, Session):
                tell("session", continuity=event.continuity)
            elif isinstance(event, State) and event.kind == "suspended":
                tell("suspended")

    async def read(self, filter, qos):
        subscription = self.subscriptions[filter] = self.client.subscribe(filter, qos=qos).begin()
        self.spawn(self.tell_granted(subscription))
        async for message in subscription:
            tell(
                "message",
                topic=message.topic,
                payload=message.text(),
                qos=message.qos,
                retained=message.is_retained,
            )

    async def tell_granted(self, subscription):
        tell("subscribed", filter=subscription.filter, qos=await subscription.granted())

    async def unsubscribe(self, filter):
        await self.subscriptions.pop(filter).unsubscribe()
        tell("unsubscribed", filter=filter)

    async def publish(self, command):
        count = command.get("count")
        for number in range(count or 1):
            payload = command["payload"] + (f"-{number}" if count else "")
            sending = await self.client.send(
                command["topic"], payload, qos=command["qos"], retain=command.get("retain", False)
            )
            await self.outcomes.put((payload, sending))

    async def tell_outcomes(self):
        while True:
            payload, sending = await self.outcomes.get()
            tell("published", payload=payload, outcome=(await sending).kind)


async def main():
    runner = Runner()
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    stdin, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        if command["do"] == "close":
            await runner.client.close()
            tell("closed")
            break
        await runner.obey(command)
    for task in runner.tasks:
        task.cancel()
    await asyncio.gather(*runner.tasks, return_exceptions=True)
    stdin.close()


asyncio.run(main())
