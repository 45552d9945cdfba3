"""One paho-mqtt client whose callbacks feed queues, so that a scenario can await what it expects."""

import queue
import socket
import ssl
import time
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

# Far more than anything here takes; a scenario that waits so long has failed.
DEADLINE_SECS = 20.0

VERSIONS = {"3.1": paho.MQTTv31, "3.1.1": paho.MQTTv311, "5": paho.MQTTv5}


class Refused(Exception):
    """The broker answered CONNECT with a reason code other than success."""

    def __init__(self, code):
        super().__init__(f"refused with 0x{code:02x}")
        self.code = code


def properties(kind, **values):
    """Properties of one packet type, such as `properties("CONNECT", SessionExpiryInterval=60)`."""
    made = Properties(getattr(PacketTypes, kind))
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Peer:
    """A connected client. Every wait ends in the event or in an error that says what was awaited."""

    def __init__(self, job, version, client_id, login=None, clean=True, will=None, connect=None, keep_alive=60):
        url = urlsplit(job["url"])
        self.name = client_id
        self.version = version
        self.messages = queue.Queue()
        self.connacks = queue.Queue()
        self.disconnects = queue.Queue()
        self.pings = queue.Queue()
        self.answers = {"suback": queue.Queue(), "unsuback": queue.Queue(), "puback": queue.Queue()}
        web = url.scheme in ("ws", "wss")
        v5 = version == "5"
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=VERSIONS[version],
            transport="websockets" if web else "tcp",
            clean_session=None if v5 else clean,
            reconnect_on_failure=False,
        )
        if web:
            self.paho.ws_set_options(path=url.path or "/")
        if url.scheme in ("mqtts", "wss"):
            # The broker's own authority, nothing else: the name and the chain are verified.
            self.paho.tls_set(ca_certs=job["ca_file"], tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.paho.username_pw_set(*(login or (job["username"], job["password"])))
        if will:
            self.paho.will_set(**will)
        self._listen()
        options = {"clean_start": clean, "properties": connect} if v5 else {}
        self.paho.connect(url.hostname, url.port, keepalive=keep_alive, **options)
        self.paho.loop_start()
        flags, reason, self.connack = self._await(self.connacks, "CONNACK")
        self.session_present = flags.session_present
        if reason.is_failure:
            self.paho.loop_stop()
            raise Refused(reason.value)

    def _listen(self):
        client = self.paho
        client.on_connect = lambda _c, _u, flags, reason, props: self.connacks.put((flags, reason, props))
        client.on_disconnect = lambda _c, _u, flags, reason, props: self.disconnects.put((flags, reason, props))
        client.on_message = lambda _c, _u, message: self.messages.put(message)
        client.on_subscribe = lambda _c, _u, mid, reasons, props: self.answers["suback"].put((mid, reasons, props))
        client.on_unsubscribe = lambda _c, _u, mid, reasons, props: self.answers["unsuback"].put((mid, reasons, props))
        client.on_publish = lambda _c, _u, mid, reason, props: self.answers["puback"].put((mid, reason, props))

        # paho tells of a PINGRESP in its log only.
        client.on_log = lambda _c, _u, _level, text: self.pings.put(text) if text == "Received PINGRESP" else None

    def _await(self, source, what):
        try:
            return source.get(timeout=DEADLINE_SECS)
        except queue.Empty:
            raise AssertionError(f"{self.name}: no {what} within {DEADLINE_SECS:.0f} s") from None

    def _answer(self, kind, mid):
        end = time.monotonic() + DEADLINE_SECS
        while time.monotonic() < end:
            answered, reasons, props = self._await(self.answers[kind], kind.upper())
            if answered == mid:
                return reasons, props
        raise AssertionError(f"{self.name}: no {kind.upper()} for packet id {mid}")

    def subscribe(self, *filters, **options):
        """Subscribes to `(filter, qos or options)` pairs and gives the reason codes."""
        result, mid = self.paho.subscribe(list(filters), **options)
        assert result == paho.MQTT_ERR_SUCCESS, f"subscribe: {paho.error_string(result)}"
        reasons, _ = self._answer("suback", mid)
        return [reason.value for reason in reasons]

    def unsubscribe(self, topic_filter):
        result, mid = self.paho.unsubscribe(topic_filter)
        assert result == paho.MQTT_ERR_SUCCESS, f"unsubscribe: {paho.error_string(result)}"
        self._answer("unsuback", mid)

    def publish(self, topic, payload=b"", qos=0, retain=False, **values):
        """Publishes, awaits the end of the exchange and gives its reason code. `values` are v5 properties."""
        props = properties("PUBLISH", **values) if values else None
        info = self.paho.publish(topic, payload, qos, retain, props)
        assert info.rc == paho.MQTT_ERR_SUCCESS, f"publish: {paho.error_string(info.rc)}"
        reason, _ = self._answer("puback", info.mid)
        return reason.value

    def publish_all(self, topic, payloads, qos):
        """Publishes without waiting in between, then awaits the end of all exchanges."""
        waiting = {self.paho.publish(topic, payload, qos).mid for payload in payloads}
        while waiting:
            answered, reason, _ = self._await(self.answers["puback"], "PUBACK")
            assert not reason.is_failure, f"publish: {reason}"
            waiting.discard(answered)

    def message(self):
        return self._await(self.messages, "message")

    def payloads(self, count):
        return [self.message().payload.decode() for _ in range(count)]

    def disconnected(self):
        """Awaits the end of the connection; gives the reason code of the broker's DISCONNECT, or None."""
        flags, reason, _ = self._await(self.disconnects, "end of the connection")
        return reason.value if flags.is_disconnect_packet_from_server else None

    def pings_answered(self, count):
        """Awaits so many PINGRESP."""
        for _ in range(count):
            self._await(self.pings, "PINGRESP")

    def expect_only(self, marker_from, topic, marker="marker"):
        """Nothing has come: the next message is one that `marker_from` publishes now."""
        marker_from.publish(topic, marker, 1)
        got = self.message().payload.decode()
        assert got == marker, f"{self.name}: {got!r} came where nothing should"

    def end(self):
        """Leaves as one should, with DISCONNECT."""
        self.paho.disconnect()
        self.paho.loop_stop()

    def cut(self):
        """Goes away without a word: the bytes end, no DISCONNECT before."""
        connection = self.paho.socket()
        connection = getattr(connection, "_socket", connection)  # below paho's WebSocket
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS
        self.paho.loop_stop()
