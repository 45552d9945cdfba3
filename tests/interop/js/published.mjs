// CloudSignal's published client, built from its own source outside of this tree, with only its base URLs changed.
// It prints one JSON line per scenario; scenarios that show what is broken in the client by itself have names that
// begin with `fault`, and fail when the client no longer does it.
//
// Standard input holds the job: client (path of the built module), urls (mqtt, mqtts, ws, wss, https), username,
// password, org_id, org_uuid, secret_key, program (the command line) and data_dir. `only` (a list of names) runs a part.
// The broker's own certificate is trusted through NODE_EXTRA_CA_CERTS.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";

const DEADLINE_MILLIS = 20_000;
// The shortest life of a token, seconds.
const TTL_SECS = 60;

const job = JSON.parse(await text(process.stdin));
const { default: CloudSignal, PRESETS } = await import(job.client);

const unhandled = [];
process.on("unhandledRejection", (error) => unhandled.push(String(error?.message ?? error)));

/** The shortest life is for tests; the client cannot ask for one. */
const plainFetch = globalThis.fetch;
let nextTtl = null;
globalThis.fetch = (url, options = {}) => {
  if (nextTtl && String(url).endsWith("/v2/tokens/create")) {
    options = { ...options, body: JSON.stringify({ ...JSON.parse(options.body), ttl: nextTtl }) };
    nextTtl = null;
  }
  return plainFetch(url, options);
};

/** Awaits a condition. */
async function until(what, condition, millis = DEADLINE_MILLIS) {
  const end = Date.now() + millis;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what} within ${millis / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Fails when a promise does not settle in time. */
function settled(what, promise, millis = DEADLINE_MILLIS) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`${what} did not settle within ${millis / 1000} s`)), millis).unref();
  });
  return Promise.race([promise, late]);
}

/** A scenario's clients, with what each of them noticed. */
class World {
  #clients = [];

  constructor(name) {
    this.name = name;
  }

  topic(suffix) {
    return ["interop", "published", this.name, suffix].filter(Boolean).join("/");
  }

  client(options = {}) {
    const client = new CloudSignal({ preset: "desktop", tokenServiceUrl: job.urls.https, ...options });
    const seen = { messages: [], authErrors: [], reconnects: 0, states: [] };
    client.onMessage((topic, message, packet) => seen.messages.push({ topic, message, packet }));
    client.onAuthError = (error) => seen.authErrors.push(error.message);
    client.onReconnecting = () => seen.reconnects++;
    client.onConnectionStatusChange = (_, state) => seen.states.push(state);
    client.seen = seen;
    this.#clients.push(client);
    return client;
  }

  /** Logged in with user name and password. */
  async user(options = {}, { host = job.urls.wss, ...login } = {}) {
    const client = this.client(options);
    const user = { username: job.username, password: job.password, host, ...login };
    await settled("connect()", client.connect(user));
    return client;
  }

  /** Logged in with a token of the secret key. */
  async token(email, options = {}, login = {}) {
    const client = this.client(options);
    const config = { host: job.urls.wss, organizationId: job.org_id, secretKey: job.secret_key, userEmail: email };
    client.info = await settled("connectWithToken()", client.connectWithToken({ ...config, ...login }));
    return client;
  }

  /** Logged in with a token of the identity provider. */
  external(externalToken) {
    return this.token(undefined, {}, { secretKey: undefined, externalToken });
  }

  close() {
    for (const client of this.#clients) client.destroy();
  }
}

const message = (client, wanted) =>
  until(`message ${wanted}`, () => client.seen.messages.find((it) => it.message === wanted));

const command = (...args) =>
  promisify(execFile)(job.program, [...args, "--org", job.org_id, "--data-dir", job.data_dir]);

const revoke = (tokenId) => command("token", "revoke", tokenId);

/** Publishes at every QoS and awaits that each promise settles and each message comes back. */
async function everyQos(world, client) {
  const topic = world.topic("all");
  await settled("subscribe()", client.subscribe(topic, { qos: 2 }));
  for (const qos of [0, 1, 2]) {
    await settled(`transmit() at QoS ${qos}`, client.transmit(topic, `at ${qos}`, { qos }));
    const { packet } = await message(client, `at ${qos}`);
    assert.equal(packet.qos, qos);
  }
}

const scenarios = {
  async user_and_password(world) {
    await everyQos(world, await world.user());
  },

  async every_preset_over_every_transport(world) {
    for (const [preset, url] of [
      ["desktop", "wss"],
      ["mobile", "wss"],
      ["agent", "ws"],
      ["server", "mqtts"],
      ["server", "mqtt"],
    ]) {
      const client = await world.user({ preset }, { host: job.urls[url] });
      assert.equal(client.client.options.protocolVersion, preset === "mobile" ? 4 : 5);
      assert.equal(client.client.options.keepalive, PRESETS[preset].keepalive);
      await everyQos(new World(`${world.name}/${preset}-${url}`), client);
      await settled("disconnect()", client.disconnect());
    }
  },

  async objects_travel_as_json(world) {
    const client = await world.user();
    await client.subscribe(world.topic());
    await settled("transmit()", client.transmit(world.topic(), { text: "hello" }, { qos: 1 }));
    await message(client, '{"text":"hello"}');
  },

  async wildcards_shared_and_dollar_topics(world) {
    const client = await world.user();
    const called = [];
    await client.subscribe(world.topic("+/chat"), { qos: 1, callback: (topic) => called.push(topic) });
    await client.subscribe(`$share/group/${world.topic("jobs/#")}`, { callback: (topic) => called.push(topic) });
    await client.subscribe("$spaces/room/#", { callback: (topic) => called.push(topic) });
    const topics = [world.topic("a/chat"), world.topic("jobs/1"), "$spaces/room/presence"];
    for (const topic of topics) await settled("transmit()", client.transmit(topic, "x", { qos: 1 }));
    await until("every callback", () => topics.every((topic) => called.includes(topic)));
  },

  async retained_and_will(world) {
    const [watcher, leaver] = [await world.user(), await world.user({}, {
      willTopic: world.topic("will"), willMessage: "gone", willQos: 1,
    })];
    await settled("transmit()", leaver.transmit(world.topic("last"), "kept", { qos: 1, retain: true }));
    await watcher.subscribe(world.topic("#"), { qos: 1 });
    const { packet } = await message(watcher, "kept");
    assert.equal(packet.retain, true);
    leaver.destroy();
    await message(watcher, "gone");
    await settled("transmit()", watcher.transmit(world.topic("last"), "", { qos: 1, retain: true }));
  },

  async token_by_secret_key(world) {
    const client = await world.token("john@example.com");
    const { username, password } = client.tokenManager.getCredentials();
    assert.equal(username, `john_example_com@${job.org_id}`);
    assert.match(password, /^tkn_/);
    assert.equal(client.getTokenInfo().provider, "cloudsignal");
    await everyQos(world, client);
  },

  async token_for_the_uuid_of_the_organization(world) {
    const client = await world.token("uuid@example.com", {}, { organizationId: job.org_uuid });
    await everyQos(world, client);
  },

  async trailing_slash_in_the_base_url(world) {
    await world.token("slash@example.com", { tokenServiceUrl: `${job.urls.https}/` });
  },

  async denied_publish_rejects(world) {
    const client = await world.user();
    for (const qos of [1, 2]) {
      const denied = client.transmit("forbidden/topic", "x", { qos });
      await assert.rejects(settled("transmit()", denied), /Not authorized/);
    }
    assert(client.isConnected());
    await everyQos(world, client);
  },

  async denied_subscribe_rejects(world) {
    for (const preset of ["desktop", "mobile"]) {
      const client = await world.user({ preset });
      await assert.rejects(settled("subscribe()", client.subscribe("forbidden/#")));
      assert(client.isConnected() && !client.isSubscribed("forbidden/#"));
    }
  },

  async bad_logins_reject_and_are_not_repeated(world) {
    for (const preset of ["desktop", "mobile"]) {
      const client = world.client({ preset, reconnectPeriod: 100 });
      const login = { host: job.urls.wss, username: job.username, password: "not the password" };
      await assert.rejects(settled("connect()", client.connect(login)), /Authentication failed/);
      assert.equal(client.seen.authErrors.length, 1);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      assert.equal(client.seen.reconnects, 0);
    }
  },

  async token_errors_have_their_types(world) {
    const config = { organizationId: job.org_id, secretKey: job.secret_key, userEmail: "e@example.com" };
    for (const [changed, type] of [
      [{ secretKey: "sk_wrong" }, "AUTH_FAILED"],
      [{ organizationId: "org_aaaaaaaaaaaa" }, "ORG_NOT_FOUND"],
      [{ userEmail: "no address" }, "INVALID_RESPONSE"],
    ]) {
      const error = await world.client().createToken({ ...config, ...changed }).then(assert.fail, (it) => it);
      assert.equal(error.type, type, error.message);
      assert(error.message.length > 5 && !error.message.includes("[object"), error.message);
    }
  },

  async refresh_gives_a_new_password_and_keeps_the_connection(world) {
    const client = await world.token("refresh@example.com");
    const before = client.tokenManager.getCredentials().password;
    const id = client.getTokenInfo().tokenId;
    await settled("refreshToken()", client.refreshToken());
    assert.notEqual(client.tokenManager.getCredentials().password, before);
    assert.equal(client.getTokenInfo().tokenId, id);
    await everyQos(world, client);
    assert.equal(client.seen.reconnects, 0);
  },

  async old_password_is_good_after_a_refresh(world) {
    // What the client does at its next reconnect.
    const client = await world.token("reconnect@example.com", { reconnectPeriod: 100 });
    await settled("refreshToken()", client.refreshToken());
    client.client.stream.destroy();
    await until("a reconnect", () => client.seen.reconnects > 0 && client.isConnected());
    assert.deepEqual(client.seen.authErrors, []);
    await everyQos(world, client);
  },

  async revoked_token_ends_and_stops_reconnecting(world) {
    const client = await world.token("revoked@example.com", { reconnectPeriod: 200 });
    await revoke(client.getTokenInfo().tokenId);
    await until("the authentication error", () => client.seen.authErrors.length > 0);
    const { reconnects } = client.seen;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(client.seen.reconnects, reconnects, "it tries no more");
    assert.equal(client.isConnected(), false);
  },

  async two_devices_of_one_user(world) {
    // The client always asks to replace earlier tokens.
    const [first, second] = [await world.token("two@example.com"), await world.token("two@example.com")];
    const topic = world.topic();
    for (const device of [first, second]) await device.subscribe(topic, { qos: 1 });
    await settled("transmit()", second.transmit(topic, "for both", { qos: 1 }));
    for (const device of [first, second]) await message(device, "for both");
    assert.equal(first.seen.reconnects + second.seen.reconnects, 0);
  },

  async end_of_a_token_closes_for_good(world) {
    nextTtl = TTL_SECS;
    const client = await world.token("ending@example.com", { autoRefresh: false, reconnectPeriod: 200 });
    const end = until("the authentication error", () => client.seen.authErrors.length > 0, 90_000);
    await everyQos(world, client);
    const started = Date.now();
    await end;
    assert(Date.now() - started > (TTL_SECS - 10) * 1_000, "not before its end");
    const { reconnects } = client.seen;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(client.seen.reconnects, reconnects, "it tries no more");
  },

  async automatic_refresh_outlives_the_token(world) {
    nextTtl = TTL_SECS;
    const client = await world.token("lasting@example.com");
    const before = client.tokenManager.getCredentials().password;
    await until("a refresh", () => client.tokenManager.getCredentials().password !== before, 90_000);
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    await everyQos(world, client);
    assert.equal(client.seen.reconnects, 0);
  },

  async token_of_an_identity_provider(world) {
    const client = await world.external(jwt());
    assert.equal(client.tokenManager.getCredentials().username, `jane_example_com@${job.org_id}`);
    assert.equal(client.getTokenInfo().provider, provider.name);
    await everyQos(world, client);
    await settled("refreshToken()", client.refreshToken());
  },

  async tokens_that_nobody_vouches_for(world) {
    const now = Math.floor(Date.now() / 1000);
    for (const [token, type] of [
      [jwt({}, "another secret of more than thirty-two bytes"), "AUTH_FAILED"],
      [jwt({ iat: now - 900, exp: now - 300 }), "TOKEN_EXPIRED"],
      [jwt({ iss: "https://login.example.org" }), "PROVIDER_NOT_FOUND"],
      [jwt({ email: undefined }), "INVALID_RESPONSE"],
      ["not.a.token", "AUTH_FAILED"],
    ]) {
      const error = await world.external(token).then(assert.fail, (it) => it);
      assert.equal(error.type, type, error.message);
    }
  },

  async providers_are_listed(world) {
    const providers = await world.client().getProviders(job.org_id);
    assert.deepEqual(providers.map((it) => it.name), [provider.name]);
    assert(!JSON.stringify(providers).includes(provider.secret));
  },

  async fault_request_closes_the_connection(world) {
    // `payloadFormatIndicator: 1` is no boolean: mqtt-packet cuts the stream, and the packet is tried again for ever.
    const client = await world.user({ preset: "agent", reconnectPeriod: 100 });
    let isSettled = false;
    const settle = () => (isSettled = true);
    client.request(world.topic(), { question: 1 }, { timeout: 1_000 }).then(settle, settle);
    await until("reconnects", () => client.seen.reconnects > 3);
    await until("the rejection that nobody can handle", () => unhandled.some((it) => it.includes("Request timeout")));
    assert.equal(isSettled, false);
  },

  async fault_bytes_become_json(world) {
    const client = await world.user();
    await client.subscribe(world.topic());
    await client.transmit(world.topic(), Buffer.from([1, 2]), { qos: 1 });
    await message(client, '{"type":"Buffer","data":[1,2]}');
  },

  async fault_reconnects_with_the_password_before_the_refresh(world) {
    const client = await world.token("stale@example.com");
    const before = client.tokenManager.getCredentials().password;
    await settled("refreshToken()", client.refreshToken());
    assert.equal(client.client.options.password, before);
    assert.equal(client.lastConfig.password, before);
  },

  async fault_session_ends_with_the_connection(world) {
    // MQTT 5 without a Session Expiry Interval: what came meanwhile is lost, although docs promise a session.
    const login = { clientId: `published-${process.pid}` };
    const [sender, client] = [await world.user(), await world.user({}, login)];
    await client.subscribe(world.topic(), { qos: 1 });
    await settled("disconnect()", client.disconnect());
    await settled("transmit()", sender.transmit(world.topic(), "meanwhile", { qos: 1 }));
    const again = await world.user({}, login);
    await again.subscribe(world.topic("now"), { qos: 1 });
    await settled("transmit()", sender.transmit(world.topic("now"), "now", { qos: 1 }));
    await message(again, "now");
    assert(!again.seen.messages.some((it) => it.message === "meanwhile"));
  },

  async fault_connect_does_not_settle_when_nobody_answers(world) {
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = world.client({ reconnectPeriod: 100 });
    let isSettled = false;
    const settle = () => (isSettled = true);
    client.connect({ host: `mqtt://127.0.0.1:${server.address().port}`, username: "a", password: "b" }).then(settle, settle);
    await until("reconnects", () => client.seen.reconnects > 3);
    server.close();
    assert.equal(isSettled, false);
  },
};

/** An identity provider that signs with a secret which the organization knows. */
const provider = { name: "website", issuer: "https://login.example.com", secret: "a secret of more than thirty-two bytes" };

function jwt(claims, secret = provider.secret) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const all = { iss: provider.issuer, sub: "u1", email: "jane@example.com", iat: now, exp: now + 600, ...claims };
  const signed = [{ alg: "HS256", typ: "JWT" }, all].map(encode).join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

async function addProvider() {
  const { name, issuer, secret } = provider;
  const answer = await plainFetch(`${job.urls.https}/v2/providers`, {
    method: "POST",
    headers: { Authorization: `Bearer ${job.secret_key}`, "Content-Type": "application/json" },
    body: JSON.stringify({ name, trust: { type: "shared_secret", issuer, secret } }),
  });
  assert.equal(answer.status, 201, await answer.text());
}

async function run(name, scenario) {
  const world = new World(name);
  let error = null;
  try {
    await scenario(world);
  } catch (failure) {
    error = failure.stack;
  }
  world.close();
  console.log(JSON.stringify({ scenario: name, version: "published", error }));
}

await addProvider();
const wanted = Object.entries(scenarios).filter(([name]) => !job.only || job.only.includes(name));
// Those that wait for a token's end wait together.
const [long, short] = [/token_closes|automatic/, /.*/].map((form, at, forms) =>
  wanted.filter(([name]) => form.test(name) && (at === 0 || !forms[0].test(name))));
const waiting = [];
for (const [name, scenario] of long) {
  waiting.push(run(name, scenario));
  await until("its token", () => nextTtl === null);
}
for (const [name, scenario] of short) await run(name, scenario);
await Promise.all(waiting);
for (const rejection of unhandled) console.error(`unhandled rejection: ${rejection}`);
process.exit(0);
