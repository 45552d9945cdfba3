"""An MQTT client for asyncio that loses nothing.

    async with Client("mqtts://broker.example", username="me@org_example", password="secret") as client:
        await client.publish("orders/17", "two of them")
        async for order in client.messages("orders/+"):
            print(order.topic, order.text())

A client keeps its connection: it comes back after every loss, with its session and its subscriptions, and what is
published meanwhile waits. A message counts as dealt with when the next one is asked for, so a slow reader slows the
broker and loses nothing.
"""

from .client import Client
from .errors import ClosedError, CloudSignalError, LimitError, NetworkError, RefusedError, StorageError, UsageError
from .messages import Message, Outcome, Sending
from .options import Certificate, RecordStore, Token, TokenReason, TokenRefused, Will
from .state import Event, Session, State, Unreachable, Warned
from .subscription import Subscription

__all__ = [
    "Certificate",
    "Client",
    "ClosedError",
    "CloudSignalError",
    "Event",
    "LimitError",
    "Message",
    "NetworkError",
    "Outcome",
    "RecordStore",
    "RefusedError",
    "Sending",
    "Session",
    "State",
    "StorageError",
    "Subscription",
    "Token",
    "TokenReason",
    "TokenRefused",
    "Unreachable",
    "UsageError",
    "Warned",
    "Will",
]
