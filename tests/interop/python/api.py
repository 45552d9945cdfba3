"""Publishing and sessions over HTTP, seen by paho-mqtt: one JSON line per scenario, as `run.py` prints them.

Standard input holds the job: url (MQTT), http_url, secret_key, ca_file, username, password, org_id, other_secret_key.
"""

import base64
import http.client
import json
import sys
import threading
import time
import traceback
from urllib.parse import quote, urlsplit

from client import DEADLINE_SECS, Peer, properties

SCENARIOS = []
ALIASES = ("/v1/publish", "/publish", "/api/v1/publish", "/v2/publish", "//v2/publish")


def scenario(function):
    SCENARIOS.append(function)
    return function


def expect(got, wanted):
    assert got == wanted, f"got {got!r}, not {wanted!r}"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read()
        self.json = json.loads(self.text) if self.text else None

    def expect(self, status, error=None):
        assert self.status == status, f"{self.status}, not {status}: {self.text!r}"
        if error:
            expect(self.json["error"], error)
        return self


class World:
    def __init__(self, job, name):
        self.job = job
        self.name = name
        self.peers = []

    def topic(self, suffix=""):
        return f"interop/{self.name}/{suffix}".rstrip("/")

    def peer(self, name, expiry=0, login=None, version="5", clean=True):
        connect = properties("CONNECT", SessionExpiryInterval=expiry) if version == "5" else None
        peer = Peer(self.job, version, f"{name}-{self.name}", login=login, clean=clean, connect=connect)
        self.peers.append(peer)
        return peer

    def subscriber(self, topic_filter=None):
        peer = self.peer("subscriber")
        expect(peer.subscribe((topic_filter or self.topic("#"), 2)), [2])
        return peer

    def ask(self, method, path, body=None, key=None, **headers):
        """One request. A body that is not bytes is sent as JSON."""
        url = urlsplit(self.job["http_url"])
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=DEADLINE_SECS)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if key != "":
            headers.setdefault("Authorization", f"Bearer {key or self.job['secret_key']}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def post(self, path, body, **options):
        return self.ask("POST", path, body, **options)

    def token(self, email, **more):
        body = {"organization_id": self.job["org_id"], "secret_key": self.job["secret_key"], "user_email": email}
        return self.post("/v2/tokens/create", {**body, **more}).expect(200).json

    def until(self, what, client_id, holds):
        """Awaits something about a session: the broker reads the end of a connection on its own time."""
        end = time.monotonic() + DEADLINE_SECS
        while not holds(self.ask("GET", f"/v2/sessions/{quote(client_id, safe='')}")):
            assert time.monotonic() < end, f"the session of {client_id} is not {what}"

    def gone(self, peer):
        self.until("gone", peer.name, lambda answer: answer.status == 404)

    def cut(self, peer):
        peer.cut()
        self.until("away", peer.name, lambda answer: answer.json["connected"] is False)

    def close(self):
        for peer in self.peers:
            peer.end()


@scenario
def every_alias_and_every_way_to_show_a_key(world):
    subscriber = world.subscriber()
    topic = world.topic("a")
    for path in ALIASES:
        answer = world.post(path, {"topic": topic, "payload": {"path": path}})
        is_bridge = path == "/api/v1/publish"
        answer.expect(200 if is_bridge else 202)
        assert answer.json["success"] is True and answer.json["message_id"].startswith("msg_"), answer.json
        message = subscriber.message()
        expect((json.loads(message.payload), message.qos), ({"path": path}, 0 if is_bridge else 1))
    for header in ("X_API_Key", "X_Secret_Key"):
        answer = world.post("/v2/publish", {"topic": topic, "payload": header}, key="", **{header: world.job["secret_key"]})
        expect(answer.expect(202).json["subscribers"], 1)
        expect(subscriber.message().payload.decode(), header)


@scenario
def payloads_arrive_byte_for_byte(world):
    subscriber = world.subscriber()
    topic = world.topic("a")
    raw = bytes(range(256)) * 5
    json_text = b'{ "b":1,  "a" : [1.50, 1e3, "\\u00e9"] }'
    wrapped = b'{"topic":"%s","payload":%s}' % (topic.encode(), json_text)
    world.post("/v2/publish", wrapped, Content_Type="application/json").expect(202)
    expect(subscriber.message().payload, json_text)
    for body in (
        {"topic": topic, "payload_base64": base64.b64encode(raw).decode()},
        {"topic": topic, "payload": base64.b64encode(raw).decode(), "encoding": "base64"},
    ):
        world.post("/v2/publish", body).expect(202)
        expect(subscriber.message().payload, raw)
    for content_type in ("application/octet-stream", "text/plain", "image/png"):
        world.post(f"/v1/publish?topic={quote(topic)}", raw, Content_Type=content_type).expect(202)
        expect(subscriber.message().payload, raw)
    called_json = f"/v1/publish?topic={quote(topic)}"
    world.post(called_json, raw, Content_Type="application/json").expect(400)
    world.post(called_json, json_text, Content_Type="application/json").expect(202)
    expect(subscriber.message().payload, json_text)
    world.post("/publish", raw, X_MQTT_Topic=topic, Content_Type="application/octet-stream").expect(202)
    expect(subscriber.message().payload, raw)
    world.post("/v2/publish", {"topic": topic, "payload": "text é"}).expect(202)
    expect(subscriber.message().payload.decode(), "text é")
    large = b"x" * 1_000_000
    world.post(f"/v2/publish?topic={quote(topic)}", large).expect(202)
    expect(subscriber.message().payload, large)


def expect_properties(message):
    got = message.properties
    expect(got.PayloadFormatIndicator, 1)
    expect(got.MessageExpiryInterval, 600)
    expect(got.ContentType, "text/plain")
    expect(got.ResponseTopic, "interop/answers")
    expect(got.CorrelationData, b"\x00\xff")
    expect(got.UserProperty, [("b", "1"), ("a", "2"), ("b", "é=3")])


@scenario
def properties_arrive_whole_and_in_order(world):
    subscriber = world.subscriber()
    topic = world.topic("a")
    said = {
        "payload_format_indicator": 1,
        "message_expiry_interval": 600,
        "content_type": "text/plain",
        "response_topic": "interop/answers",
        "correlation_data_base64": "AP8=",
        "user_properties": [["b", "1"], ["a", "2"], ["b", "é=3"]],
    }
    world.post("/v2/publish", {"topic": topic, "payload": "x", "qos": 2, "properties": said}).expect(202)
    message = subscriber.message()
    expect((message.qos, message.retain), (2, False))
    expect_properties(message)
    query = "&".join(
        [
            f"topic={quote(topic)}&qos=2&payload_format_indicator=1&message_expiry_interval=600&content_type=text/plain",
            "response_topic=interop/answers&correlation_data_base64=AP8%3D",
            "user_property=b%3D1&user_property=a%3D2&user_property=b%3D%C3%A9%3D3",
        ]
    )
    world.post(f"/v2/publish?{query}", b"x", Content_Type="text/plain").expect(202)
    expect_properties(subscriber.message())
    world.post("/v2/publish", {"topic": topic, "payload": "bare"}).expect(202)
    assert subscriber.message().properties.isEmpty(), "nothing is invented"


@scenario
def retained_messages_are_kept_and_cleared(world):
    topic = world.topic("state")
    world.post("/v2/publish", {"topic": topic, "payload": "on", "retain": True}).expect(202)
    late = world.peer("late")
    late.subscribe((topic, 1))
    message = late.message()
    expect((message.payload, message.retain), (b"on", True))
    world.post(f"/v2/publish?topic={quote(topic)}&retain=true", b"").expect(202)
    expect(late.message().payload, b"")
    later = world.peer("later")
    later.subscribe((world.topic("#"), 1))
    world.post("/v2/publish", {"topic": world.topic("marker"), "payload": "only this"}).expect(202)
    expect(later.message().payload, b"only this")


@scenario
def a_message_waits_for_who_is_away(world):
    away = world.peer("away", expiry=600)
    away.subscribe((world.topic("#"), 1))
    world.cut(away)
    answer = world.post("/v2/publish", {"topic": world.topic("a"), "payload": "kept"}).expect(202)
    expect(answer.json["subscribers"], 1)
    session = world.ask("GET", f"/v2/sessions/{quote(away.name)}").expect(200).json
    expect((session["connected"], session["queue_messages"]), (False, 1))
    assert session["queue_bytes"] > 4, session
    back = world.peer("away", expiry=600, clean=False)
    expect(back.message().payload, b"kept")


@scenario
def a_batch_keeps_its_order_and_answers_each(world):
    subscriber = world.subscriber()
    messages = [{"topic": world.topic(str(index % 3)), "payload": index} for index in range(90)]
    messages.insert(7, {"topic": "a/#", "payload": 1})
    messages.insert(8, {"topic": world.topic(), "payload": 1, "qos": 9})
    messages.insert(9, {"topic": "$SYS/mine", "payload": 1})
    answer = world.post("/v2/publish/batch", {"messages": messages}).expect(200).json
    expect((answer["accepted"], answer["refused"]), (90, 3))
    statuses = [result["status"] for result in answer["results"]]
    expect(statuses, [202] * 7 + [422, 422, 403] + [202] * 83)
    expect(answer["results"][7]["error"], "invalid_topic")
    expect(answer["results"][9]["rule"], "$SYS")
    expect(subscriber.payloads(90), [str(index) for index in range(90)])
    world.post("/v2/publish/batch", {"messages": []}).expect(422)
    world.post("/v2/publish/batch", {"messages": [1] * 201}).expect(422)


@scenario
def fifty_retries_at_once_publish_once(world):
    subscriber = world.subscriber()
    body = {"topic": world.topic("a"), "payload": "once"}
    answers = []

    def ask():
        answers.append(world.post("/v2/publish", body, Idempotency_Key="retry 1"))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect({answer.status for answer in answers}, {202})
    expect(len({answer.json["message_id"] for answer in answers}), 1)
    expect(sum("idempotency-replayed" in answer.headers for answer in answers), 49)
    expect(subscriber.message().payload, b"once")
    other = {**body, "payload": "other"}
    world.post("/v2/publish", other, Idempotency_Key="retry 1").expect(422, "idempotency_key_reused")
    world.post("/v1/publish", body, Idempotency_Key="retry 1").expect(422, "idempotency_key_reused")
    token = world.token("retry@example.com")["access_token"]
    world.post("/v2/publish", other, key=token, Idempotency_Key="retry 1").expect(202)
    expect(subscriber.message().payload, b"other")
    batch = {"messages": [body, other]}
    first = world.post("/v2/publish/batch", batch, Idempotency_Key="retry 2").expect(200)
    again = world.post("/v2/publish/batch", batch, Idempotency_Key="retry 2").expect(200)
    expect(again.json, first.json)
    expect(subscriber.payloads(2), ["once", "other"])
    world.post("/v2/publish", {**body, "payload": "marker"}).expect(202)
    expect(subscriber.message().payload, b"marker")


@scenario
def a_token_publishes_under_its_policy(world):
    subscriber = world.subscriber()
    token = world.token("ada@example.com")
    key = token["access_token"]
    world.post("/v2/publish", {"topic": world.topic("a"), "payload": "mine"}, key=key).expect(202)
    expect(subscriber.message().payload, b"mine")
    denied = world.post("/v2/publish", {"topic": "elsewhere", "payload": "x"}, key=key).expect(403, "not_authorized")
    assert "rule" not in denied.json, denied.json
    bridge = world.post("/api/v1/publish", {"topic": "elsewhere", "payload": "x"}, key=key)
    expect(bridge.expect(403, "not_authorized").json["success"], False)
    world.post("/v2/publish", {"topic": "elsewhere", "payload": "x"}).expect(202)
    other = f"/v2/publish?organization_id={world.job['foreign_org_id']}"
    world.post(other, {"topic": world.topic("a"), "payload": "x"}, key=key).expect(404, "organization_not_found")
    sys = world.post("/v2/publish", {"topic": "$SYS/x", "payload": "x"}).expect(403, "not_authorized")
    expect(sys.json["rule"], "$SYS")
    world.ask("GET", "/v2/sessions", key=key).expect(401)


@scenario
def every_kind_of_key_publishes_as_it_may(world):
    def key(kind, **more):
        return world.post("/v2/keys", {"name": f"{world.name} {kind}", "kind": kind, **more}).expect(201).json["value"]

    subscriber = world.subscriber()
    allowed = {"topic": world.topic("a"), "payload": "x"}
    denied = {"topic": "elsewhere", "payload": "x"}
    publishable = key("publishable")
    world.post("/v2/publish", allowed, key=publishable).expect(202)
    answer = world.post("/v2/publish", denied, key=publishable).expect(403, "not_authorized")
    assert "rule" not in answer.json and "publishable" in answer.json["message"], answer.json
    restricted = key("restricted", scopes=["messages:publish"])
    world.post("/v2/publish", allowed, key=restricted).expect(202)
    world.post("/v2/publish", denied, key=restricted).expect(202)
    world.ask("GET", "/v2/sessions", key=restricted).expect(403, "insufficient_scope")
    reader = key("restricted", scopes=["sessions:read"])
    world.post("/v2/publish", allowed, key=reader).expect(403, "insufficient_scope")
    world.ask("GET", "/v2/sessions", key=reader).expect(200)
    world.ask("GET", "/v2/session-history", key=reader).expect(200)
    world.ask("DELETE", f"/v2/sessions/{quote(subscriber.name)}", key=reader).expect(403, "insufficient_scope")
    world.post("/v2/sessions/disconnect", {"all": True}, key=reader).expect(403, "insufficient_scope")
    expect(subscriber.payloads(2), ["x", "x"])
    world.ask("GET", "/v2/sessions/%FF", key=reader).expect(400, "invalid_request")


@scenario
def what_cannot_be_published_is_refused(world):
    topic = world.topic("a")
    world.post("/v2/publish", {"topic": topic, "payload": 1}, key="").expect(401)
    world.post("/v2/publish", {"topic": topic, "payload": 1}, key="sk_wrong").expect(401)
    bridge = world.post("/api/v1/publish", {"topic": topic, "payload": 1}, key="sk_wrong").expect(401)
    expect(bridge.json["success"], False)
    for body in ({"payload": 1}, {"topic": topic}, {"topic": "a/+", "payload": 1}, {"topic": topic, "payload": 1, "qos": 3}):
        answer = world.post("/v2/publish", body).expect(422)
        for field in ("error", "error_description", "detail", "message"):
            assert isinstance(answer.json[field], str), answer.json
    world.post("/v2/publish?topic=a%2F%23", b"x").expect(422, "invalid_topic")
    world.post(f"/v2/publish?topic={'a/' * 500}", b"x").expect(422, "invalid_topic")
    world.post("/v2/publish", b"{", Content_Type="application/json").expect(400)
    world.post("/v2/publish", b"x", Content_Type="text/plain").expect(415)
    world.post(f"/v2/publish?topic={quote(topic)}", b"x" * 1_100_000).expect(413, "payload_too_large")
    world.post(f"/v2/publish?topic={quote(topic)}", b"x" * 4_000_000).expect(413, "payload_too_large")
    expect("POST" in world.ask("GET", "/v2/publish").expect(405).headers["allow"], True)
    other = world.job["foreign_org_id"]
    world.post(f"/v2/publish?organization_id={other}", {"topic": topic, "payload": 1}).expect(404, "organization_not_found")


@scenario
def the_rate_is_told_and_kept(world):
    # A token of its own has a rate of its own.
    key = world.token("fast@example.com")["access_token"]
    body = {"topic": world.topic("a"), "payload": 1}
    first = world.post("/v2/publish", body, key=key).expect(202)
    expect((first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]), ("100", "199"))
    assert int(first.headers["x-ratelimit-reset"]) > 1_600_000_000
    batch = {"messages": [body] * 200}
    for _ in range(2):
        answer = world.post("/v2/publish/batch", batch, key=key)
        if answer.status == 429:
            break
    answer.expect(429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1, answer.headers
    world.post("/v2/publish", body).expect(202)


@scenario
def browsers_may_publish(world):
    answer = world.ask(
        "OPTIONS",
        "/v2/publish",
        key="",
        Origin="https://app.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization,content-type,idempotency-key,x-mqtt-topic",
    ).expect(200)
    allowed = answer.headers["access-control-allow-headers"].lower()
    for header in ("authorization", "content-type", "idempotency-key", "x-mqtt-topic", "x-mqtt-user-property"):
        assert header in allowed, allowed
    answer = world.post("/v2/publish", {"topic": world.topic("a"), "payload": 1}, Origin="https://app.example").expect(202)
    expect(answer.headers["access-control-allow-origin"], "*")
    assert "x-ratelimit-remaining" in answer.headers["access-control-expose-headers"].lower(), answer.headers


@scenario
def sessions_are_listed_page_by_page(world):
    names = [world.peer(f"p{index}").name for index in range(7)]
    away = world.peer("away", expiry=600)
    world.cut(away)
    found, after = [], ""
    for _ in range(20):
        query = f"/v2/sessions?limit=3&search={quote(world.name)}{after}"
        answer = world.ask("GET", query).expect(200).json
        assert len(answer["sessions"]) <= 3, answer
        found += [session["client_id"] for session in answer["sessions"]]
        if answer["next"] is None:
            break
        after = f"&after={quote(answer['next'])}"
    expect(sorted(found), sorted([*names, away.name]))
    query = f"/v2/sessions?connected=false&search={quote(world.name)}"
    expect([it["client_id"] for it in world.ask("GET", query).json["sessions"]], [away.name])
    expect(len(world.ask("GET", f"/v2/sessions?client_id={quote(names[0])}").json["sessions"]), 1)
    user = world.job["username"].split("@")[0]
    assert len(world.ask("GET", f"/v2/sessions?username={quote(user)}").json["sessions"]) >= 8
    expect(world.ask("GET", "/v2/sessions?username=nobody").json["sessions"], [])
    other = world.ask("GET", "/v2/sessions", key=world.job["other_secret_key"]).expect(200).json
    expect(other, {"sessions": [], "next": None})
    world.ask("GET", f"/v2/sessions/{quote(names[0])}", key=world.job["other_secret_key"]).expect(404)


@scenario
def a_session_is_shown_with_everything(world):
    strange = "a/b c%2F?#é-ünï"
    peer = world.peer(strange)
    peer.subscribe((world.topic("b"), 1), (f"$share/g/{world.topic('a')}", 0))
    peer.publish(world.topic("x"), "12345", 1)
    shown = world.ask("GET", f"/v2/sessions/{quote(peer.name, safe='')}").expect(200).json
    expect(shown["client_id"], peer.name)
    expect(shown["subscription_count"], 2)
    filters = {it["filter"]: it["qos"] for it in shown["subscriptions"]}
    expect(filters, {world.topic("b"): 1, f"$share/g/{world.topic('a')}": 0})
    connection = shown["connection"]
    expect((connection["protocol"], connection["keep_alive_secs"]), ("5.0", 60))
    scheme = urlsplit(world.job["url"]).scheme
    expect(connection["transport"], {"mqtt": "tcp", "mqtts": "tls"}.get(scheme, scheme))
    expect(connection["tls"], scheme in ("mqtts", "wss"))
    assert connection["ip"] in ("127.0.0.1", "::1") and connection["port"] > 0, connection
    expect((connection["messages_in"], connection["bytes_in"]), (1, 5))
    world.ask("GET", "/v2/sessions/nobody").expect(404)


@scenario
def clients_are_disconnected_with_0x98(world):
    peer = world.peer("one", expiry=600)
    answer = world.ask("DELETE", f"/v2/sessions/{quote(peer.name)}").expect(200).json
    expect(answer, {"disconnected": True, "forgotten": False})
    expect(peer.disconnected(), 0x98)
    again = world.ask("DELETE", f"/v2/sessions/{quote(peer.name)}").expect(200).json
    expect(again, {"disconnected": False, "forgotten": False})
    forgotten = world.ask("DELETE", f"/v2/sessions/{quote(peer.name)}?forget=true").expect(200).json
    expect(forgotten, {"disconnected": False, "forgotten": True})
    world.ask("DELETE", f"/v2/sessions/{quote(peer.name)}").expect(404)
    page = world.ask("GET", f"/v2/audit?action=sessions_disconnected&entity_id={quote(peer.name)}")
    entries = page.expect(200).json["entries"]
    expect([entry["details"]["disconnected"] for entry in entries], [0, 1])
    listed = [world.peer(f"listed{index}") for index in range(3)]
    body = {"client_ids": [peer.name for peer in listed] + ["nobody"]}
    answer = world.post("/v2/sessions/disconnect", body).expect(200).json
    expect((answer["disconnected"], answer["not_found"]), (3, ["nobody"]))
    expect([peer.disconnected() for peer in listed], [0x98] * 3)
    found = [world.peer(f"found{index}", version=version) for index, version in enumerate(("3.1.1", "5"))]
    answer = world.post("/v2/sessions/disconnect", {"search": f"-{world.name}"}).expect(200).json
    expect((answer["disconnected"], answer["next"]), (2, None))
    expect([peer.disconnected() for peer in found], [None, 0x98])
    world.post("/v2/sessions/disconnect", {}).expect(422)
    world.post("/v2/sessions/disconnect", {"all": True, "client_ids": []}).expect(422)
    called = Peer(world.job, "5", "disconnect", connect=properties("CONNECT", SessionExpiryInterval=0))
    expect(world.ask("GET", "/v2/sessions/disconnect").expect(200).json["client_id"], "disconnect")
    world.ask("DELETE", "/v2/sessions/disconnect").expect(200)
    expect(called.disconnected(), 0x98)
    called.end()


@scenario
def history_tells_how_connections_ended(world):
    def history(client_id, more=""):
        query = f"/v2/session-history?client_id={quote(client_id)}{more}"
        return world.ask("GET", query).expect(200).json["connections"]

    normal = world.peer("normal")
    normal.publish(world.topic("x"), "12345", 1)
    normal.end()
    world.gone(normal)
    first = history(normal.name)[0]
    expect((first["reason"], first["class"], first["messages_in"], first["bytes_in"]), ("normal", "normal", 1, 5))
    expect((first["username"], first["protocol"]), (world.job["username"].split("@")[0], "5.0"))
    assert first["duration_secs"] >= 0 and first["connected_at"] <= first["disconnected_at"], first
    kicked = world.peer("kicked")
    world.ask("DELETE", f"/v2/sessions/{quote(kicked.name)}").expect(200)
    expect(kicked.disconnected(), 0x98)
    entry = history(kicked.name)[0]
    expect((entry["reason"], entry["reason_code"]), ("server_disconnect", 0x98))
    taken = world.peer("taken")
    taker = Peer(world.job, "5", taken.name, connect=properties("CONNECT", SessionExpiryInterval=0))
    expect(taken.disconnected(), 0x8E)
    expect([it["reason"] for it in history(taken.name)], ["takeover"])
    taker.end()
    expect(history(taken.name, "&class=errors"), [])
    expect(history(taken.name, "&since=2999-01-01T00:00:00Z"), [])
    expect(history(taken.name, "&until=2000-01-01T00:00:00Z"), [])
    expect(len(history(taken.name, "&reason=takeover&since=2000-01-01T00:00:00Z")), 1)
    page = world.ask("GET", "/v2/session-history?limit=2").expect(200).json
    expect(len(page["connections"]), 2)
    rest = world.ask("GET", f"/v2/session-history?limit=1&after={page['next']}").expect(200).json
    assert rest["connections"][0] not in page["connections"], rest
    other = world.ask("GET", "/v2/session-history", key=world.job["other_secret_key"]).expect(200).json
    expect(other["connections"], [])


def main():
    job = json.load(sys.stdin)
    only = job.get("only")
    for function in SCENARIOS:
        if only and function.__name__ not in only:
            continue
        world = World(job, function.__name__)
        error = None
        try:
            function(world)
        except Exception:  # The report carries it.
            error = traceback.format_exc()
        finally:
            world.close()
        print(json.dumps({"scenario": function.__name__, "version": "5", "error": error}), flush=True)


if __name__ == "__main__":
    main()
