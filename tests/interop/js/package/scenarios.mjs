// What the browser package does against a real broker, in Node and in a browser: nothing here belongs to one of them.

/** Far more than anything here takes, milliseconds. */
const DEADLINE = 20_000;

/** What `promise` gives, or an error that says what did not come. */
export function within(what, promise) {
  let late;
  const deadline = new Promise((_, reject) => {
    late = setTimeout(() => reject(new Error(`no ${what} within ${DEADLINE / 1000} s`)), DEADLINE);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(late));
}

function same(got, wanted, what = "value") {
  const [left, right] = [got, wanted].map((it) => JSON.stringify(it));
  if (left !== right) throw new Error(`${what}: got ${left}, wanted ${right}`);
}

/** The first event of a client that is `wanted`. */
function event(client, name, wanted) {
  return within(
    `${name} event`,
    new Promise((resolve) => {
      const stop = client.on(name, (it) => {
        if (!wanted(it)) return;
        stop();
        resolve(it);
      });
    }),
  );
}

const state = (client, kind) => event(client, "state", (it) => it.kind === kind);

async function error(what, promise) {
  try {
    await within(what, promise);
  } catch (caught) {
    return caught;
  }
  throw new Error(`${what}: nothing was thrown`);
}

/** So many messages of a subscription. */
async function take(subscription, count) {
  const messages = [];
  const read = async () => {
    for await (const message of subscription) if (messages.push(message) === count) return messages;
    throw new Error(`it ended after ${messages.length} messages`);
  };
  return within(`message of ${subscription.pattern}`, read());
}

/** What a scenario works with: clients and topics that no other scenario uses. */
export class World {
  #clients = [];

  constructor(job, version, name, library) {
    this.job = job;
    this.version = version;
    this.library = library;
    this.name = `${name}-${version}-${job.place}`;
  }

  topic(suffix) {
    return ["interop", "package", this.name, suffix].join("/");
  }

  client(options = {}) {
    const client = this.library.createClient({
      url: this.job.url,
      username: this.job.username,
      password: this.job.password,
      protocol: this.version,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  close() {
    for (const client of this.#clients) client.close({ forget: true });
  }
}

const ALL = ["3.1.1", "5"];

export const scenarios = [
  {
    name: "every_qos_both_ways",
    versions: ALL,
    async run(world) {
      const client = world.client();
      for (const qos of [0, 1, 2]) {
        const subscription = client.subscribe(`${world.topic("")}:sender/${qos}`, { qos });
        same(await within("SUBACK", subscription.ready), qos, "granted QoS");
        const data = { qos, text: "Grüße, 世界", list: [1, 2, 3] };
        const outcome = await within("outcome", client.publish(world.topic(`me/${qos}`), data, { qos }));
        same(outcome.kind, qos === 0 ? "sent" : "acked", "outcome");
        const [message] = await take(subscription, 1);
        same([message.data, message.params, message.qos], [data, { sender: "me" }, qos], "message");
        await within("UNSUBACK", subscription.unsubscribe());
      }
    },
  },
  {
    name: "what_is_called_before_the_connection_happens_in_order",
    versions: ALL,
    async run(world) {
      const client = world.client();
      const subscription = client.subscribe(world.topic("*rest"), { qos: 1 });
      const outcomes = [1, 2, 3].map((number) => client.publish(world.topic(`a/${number}`), number));
      const messages = await take(subscription, 3);
      same(messages.map(({ data, params }) => [data, params.rest]), [[1, "a/1"], [2, "a/2"], [3, "a/3"]], "messages");
      for (const outcome of await within("outcomes", Promise.all(outcomes))) same(outcome, { kind: "acked", reason: 0 });
      same(client.state.kind, "connected", "state");
    },
  },
  {
    name: "thousands_arrive_once_and_in_order",
    versions: ALL,
    async run(world) {
      const count = 2000;
      const [sender, receiver] = [world.client(), world.client()];
      const subscription = receiver.subscribe(world.topic("n"), { qos: 1 });
      const got = [];
      const all = within("the last message", new Promise((resolve) => {
        subscription.on(({ data }) => {
          if (got.push(data) === count) resolve();
        });
      }));
      await within("SUBACK", subscription.ready);
      const outcomes = [];
      for (let number = 0; number < count; number += 1) outcomes.push(sender.publish(world.topic("n"), number));
      await all;
      same(got, Array.from({ length: count }, (_, number) => number), "messages");
      for (const { kind } of await within("outcomes", Promise.all(outcomes))) same(kind, "acked", "outcome");
    },
  },
  {
    name: "a_megabyte_is_carried",
    versions: ALL,
    async run(world) {
      const { binary } = world.library;
      const client = world.client();
      const subscription = client.subscribe(world.topic("large"), { qos: 1, codec: binary });
      const payload = Uint8Array.from({ length: 1_000_000 }, (_, at) => at % 251);
      await within("outcome", client.publish(world.topic("large"), payload));
      const [{ data }] = await take(subscription, 1);
      same([data.length, data.every((byte, at) => byte === at % 251)], [payload.length, true], "payload");
    },
  },
  {
    name: "properties_are_carried",
    versions: ["5"],
    async run(world) {
      const client = world.client();
      const subscription = client.subscribe(world.topic("asked"), { qos: 1 });
      const properties = { responseTopic: world.topic("answer"), contentType: "text/x", isText: true, user: [["k", "1"], ["k", "2"]] };
      await within("outcome", client.publish(world.topic("asked"), "?", { ...properties, correlation: Uint8Array.of(1, 2) }));
      const [message] = await take(subscription, 1);
      const { correlation, ...others } = message.properties;
      same([...correlation], [1, 2], "correlation");
      for (const [name, value] of Object.entries(properties)) same(others[name], value, name);
    },
  },
  {
    name: "retained_messages_reach_who_comes_later",
    versions: ALL,
    async run(world) {
      const client = world.client();
      await within("outcome", client.publish(world.topic("kept"), "here", { retain: true }));
      const [message] = await take(client.subscribe(world.topic("kept")), 1);
      same([message.data, message.retain], ["here", true], "message");
      await within("outcome", client.publish(world.topic("kept"), new Uint8Array(), { retain: true }));
    },
  },
  {
    name: "two_readers_of_one_filter_get_everything",
    versions: ALL,
    async run(world) {
      const client = world.client();
      const first = client.subscribe(world.topic(":a"), { qos: 1 });
      const second = client.subscribe(world.topic(":b"), { qos: 1 });
      await within("SUBACK", Promise.all([first.ready, second.ready]));
      await within("outcome", client.publish(world.topic("x"), 1));
      same((await take(first, 1))[0].params, { a: "x" }, "first");
      same((await take(second, 1))[0].params, { b: "x" }, "second");
      await first.unsubscribe();
      await within("outcome", client.publish(world.topic("y"), 2));
      same((await take(second, 1))[0].params, { b: "y" }, "the one that is left");
    },
  },
  {
    name: "a_slow_reader_holds_the_server_back",
    versions: ["5"],
    async run(world) {
      const [sender, receiver] = [world.client(), world.client({ receiveMax: 2 })];
      const subscription = receiver.subscribe(world.topic("n"), { qos: 1 });
      await within("SUBACK", subscription.ready);
      let [running, most] = [0, 0];
      const got = [];
      const all = within("the last message", new Promise((resolve) => {
        subscription.on(async ({ data }) => {
          running += 1;
          most = Math.max(most, running);
          await sender.publish(world.topic("other"), data); // Takes a round trip.
          running -= 1;
          if (got.push(data) === 20) resolve();
        });
      }));
      for (let number = 0; number < 20; number += 1) void sender.publish(world.topic("n"), number);
      await all;
      same([got, most], [Array.from({ length: 20 }, (_, number) => number), 1], "messages and handlers at once");
    },
  },
  {
    name: "what_cannot_be_read_is_a_warning",
    versions: ALL,
    async run(world) {
      const client = world.client();
      const subscription = client.subscribe(world.topic("json"), { qos: 1 });
      const warned = event(client, "warning", ({ kind }) => kind === "undecodable");
      await within("outcome", client.publish(world.topic("json"), Uint8Array.of(0x7b)));
      await within("outcome", client.publish(world.topic("json"), "fine"));
      same((await take(subscription, 1))[0].data, "fine", "the next one");
      same((await warned).topic, world.topic("json"), "warning");
    },
  },
  {
    name: "tokens_are_asked_for_once",
    versions: ALL,
    async run(world) {
      const asked = [];
      const auth = async ({ reason, signal, previous }) => {
        asked.push([reason, signal.aborted, previous ?? null]);
        return { ...world.job.token.mqtt_credentials, expiresIn: 3600 };
      };
      const client = world.client({ auth });
      const connected = event(client, "connected", () => true);
      client.connect();
      client.connect();
      same(await connected, { continuity: "new" }, "connected");
      await within("outcome", client.publish(world.topic("x"), 1));
      same(asked, [["initial", false, null]], "questions");
    },
  },
  {
    name: "tokens_are_renewed_while_messages_flow",
    versions: ALL,
    async run(world) {
      const { job } = world;
      const renewed = [];
      const auth = async ({ reason, previous }) => {
        if (reason === "initial") return { ...job.token.mqtt_credentials, expiresIn: 2 };
        const body = { token_id: job.token.token_id, current_token_password: job.token.access_token };
        const answer = await fetch(`${job.api}/v2/tokens/refresh`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
        job.token = { ...job.token, ...(await answer.json()) };
        renewed.push([reason, previous.password === body.current_token_password]);
        return { username: previous.username, password: job.token.access_token, expiresIn: renewed.length < 3 ? 2 : 3600 };
      };
      // Before MQTT 5 another connection takes over: what is on its way then comes twice at QoS 1.
      const client = world.client({ auth });
      const subscription = client.subscribe(world.topic("n"), { qos: 2 });
      await within("SUBACK", subscription.ready);
      const states = [];
      client.on("state", ({ kind }) => states.push(kind));
      const got = [];
      subscription.on(({ data }) => got.push(data));
      let sent = 0;
      while (renewed.length < 3) same((await within("outcome", client.publish(world.topic("n"), sent++, { qos: 2 }))).kind, "acked");
      await within("outcome", client.publish(world.topic("n"), sent++, { qos: 2 }));
      same(renewed, Array(3).fill(["expiring", true]), "renewals");
      same(got, Array.from({ length: sent }, (_, number) => number), "messages");
      same(states, [], "states");
    },
  },
  {
    name: "no_token_is_the_end",
    versions: ALL,
    async run(world) {
      const client = world.client({ auth: () => null });
      const closed = state(client, "closed");
      const publishing = client.publish(world.topic("x"), 1);
      same((await closed).why, "token_refused", "why");
      const { code, kept } = await error("publish", publishing);
      same([code, kept], ["closed", false], "what was queued");
    },
  },
  {
    name: "what_waits_when_the_application_closes_is_indeterminate",
    versions: ALL,
    async run(world) {
      const client = world.client();
      client.suspend();
      const publishing = client.publish(world.topic("x"), 1);
      client.connect();
      client.suspend();
      client.close();
      same(await within("outcome", publishing), { kind: "indeterminate" }, "what was queued");
    },
  },
  {
    name: "questions_have_answers",
    versions: ["5"],
    async run(world) {
      const [asker, answerer] = [world.client(), world.client()];
      const questions = answerer.subscribe(world.topic(":what"));
      await within("SUBACK", questions.ready);
      questions.on((question) => question.data !== "silence" && answerer.reply(question, [question.params.what, question.data]));
      const answers = await within("answers", Promise.all([1, 2].map((number) => asker.request(world.topic("add"), number))));
      same(answers.map(({ data }) => data), [["add", 1], ["add", 2]], "answers");
      const late = await error("answer", asker.request(world.topic("add"), "silence", { timeoutMs: 50 }));
      same([late.code, late instanceof world.library.CloudSignalError], ["timeout", true], "without an answer");
      same((await error("answer", asker.request(world.topic("a/b"), 1))).code, "nobody", "without a listener");
      const stopped = asker.request(world.topic("add"), "silence", { signal: AbortSignal.abort(new Error("enough")) });
      same((await error("answer", stopped)).message, "enough", "reason");
      same((await error("reply", asker.reply(answers[0], 1))).code, "topic", "an answer to an answer");
      const open = error("answer", asker.request(world.topic("add"), "silence"));
      asker.close();
      same((await open).code, "closed", "after the end");
    },
  },
  {
    name: "there_are_no_questions_before_mqtt_5",
    versions: ["3.1.1"],
    async run(world) {
      same((await error("answer", world.client().request(world.topic("x"), 1))).code, "not_offered", "code");
    },
  },
  {
    name: "a_refused_login_is_the_end",
    versions: ALL,
    async run(world) {
      const client = world.client({ password: "wrong" });
      const closed = state(client, "closed");
      client.connect();
      const { why, reason } = await closed;
      same(why, "refused", "why");
      if (reason !== 0x86 && reason !== 0x87) throw new Error(`reason ${reason}`);
      same((await error("publish", client.publish(world.topic("x"), 1))).code, "closed", "publish");
    },
  },
  {
    name: "forbidden_topics_are_refused",
    versions: ["5"],
    async run(world) {
      const client = world.client();
      same(await within("outcome", client.publish("elsewhere/x", 1)), { kind: "rejected", reason: 0x87 }, "publish");
      const subscription = client.subscribe("elsewhere/#");
      same((await error("SUBACK", subscription.ready)).reason, 0x87, "subscribe");
      same((await error("message", take(subscription, 1))).code, "refused", "reading");
      same((await error("publish", client.publish("a/#", 1))).code, "topic", "no topic");
      same((await error("subscribe", client.subscribe("a/#/b").ready)).code, "topic", "no filter");
    },
  },
  {
    name: "another_client_with_the_same_name_takes_over",
    versions: ["5"],
    async run(world) {
      const options = { clientId: world.name.slice(0, 60) };
      const first = world.client(options);
      await within("outcome", first.publish(world.topic("x"), 1));
      const closed = state(first, "closed");
      await within("outcome", world.client(options).publish(world.topic("x"), 2));
      same((await closed).why, "taken_over", "why");
    },
  },
  {
    name: "a_suspended_client_goes_on_where_it_was",
    versions: ALL,
    async run(world) {
      const [sender, receiver] = [world.client(), world.client()];
      const subscription = receiver.subscribe(world.topic("n"), { qos: 1 });
      await within("SUBACK", subscription.ready);
      receiver.suspend();
      same(receiver.state.kind, "suspended", "state");
      await within("outcome", sender.publish(world.topic("n"), "meanwhile"));
      const connected = event(receiver, "connected", () => true);
      receiver.connect();
      same(await connected, { continuity: "resumed" }, "connected");
      same((await take(subscription, 1))[0].data, "meanwhile", "message");
    },
  },
  {
    name: "signals_end_what_waits",
    versions: ALL,
    async run(world) {
      const client = world.client();
      const [reading, waiting] = [new AbortController(), new AbortController()];
      const subscription = client.subscribe(world.topic("x"), { signal: reading.signal });
      await within("SUBACK", subscription.ready);
      reading.abort();
      await within("the end of the stream", (async () => {
        for await (const _ of subscription) throw new Error("a message");
      })());
      client.suspend();
      const publishing = error("publish", client.publish(world.topic("x"), 1, { signal: waiting.signal }));
      waiting.abort(new Error("enough"));
      same((await publishing).message, "enough", "reason");
    },
  },
  {
    name: "closing_ends_everything",
    versions: ALL,
    async run(world) {
      const client = world.client();
      const subscription = client.subscribe(world.topic("x"));
      await within("SUBACK", subscription.ready);
      client.close();
      await within("the end of the stream", (async () => {
        for await (const _ of subscription) throw new Error("a message");
      })());
      same(client.state, { kind: "closed", why: "caller" }, "state");
      same((await error("publish", client.publish(world.topic("x"), 1))).code, "closed", "publish");
    },
  },
];

/** Runs every scenario of the job's versions and tells each outcome. */
export async function run(job, library, tell) {
  for (const version of ALL) {
    for (const scenario of scenarios) {
      if (!job.versions.includes(version) || !scenario.versions.includes(version)) continue;
      const world = new World(job, version, scenario.name, library);
      let failure = null;
      try {
        await scenario.run(world);
      } catch (caught) {
        failure = `${caught?.stack ?? caught}`;
      }
      world.close();
      tell({ scenario: scenario.name, version, error: failure });
    }
  }
}
