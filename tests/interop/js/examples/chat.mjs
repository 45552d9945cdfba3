// The chat, as people use it: three of one team, one of another, each in a browser profile of their own.

import { join } from "node:path";
import { text } from "node:stream/consumers";
import { launch } from "../chromium.mjs";
import { Program, same, tell, visitor, watchPackets, within } from "./example.mjs";

/** The shortest life that a token may have, seconds: it ends during the test. */
const TOKEN_SECONDS = 60;
/** What counts the connections of pages. */
const ACCEPTED = 'cloudsignal_connections_accepted_total{listener="wss"}';
/** Twice as long as it takes until a token has ended, milliseconds. */
const TOKEN_DEADLINE = 2 * TOKEN_SECONDS * 1000;

const job = JSON.parse(await text(process.stdin));

class Person {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.packets = watchPackets(page, job.url);
    this.sockets = 0;
    page.on("websocket", (socket) => (this.sockets += socket.url().startsWith(job.url) ? 1 : 0));
  }

  static async join(browser, address, name, team, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 720 }, ...options });
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(`${name}:`, error));
    const person = new Person(page, name);
    await page.goto(address);
    await page.waitForSelector("option", { state: "attached" });
    await page.fill("[name=name]", name);
    await page.selectOption("[name=team]", team);
    await person.shoot(`login-${name}`);
    await page.click("text=Join");
    await person.sees("#state", "connected");
    return person;
  }

  /** An element with this text, and nothing else. */
  sees(selector, wanted, millis) {
    const seen = this.page.waitForFunction(([selector, wanted]) => document.querySelector(selector)?.textContent === wanted, [selector, wanted]);
    return within(`${selector} with ${wanted} for ${this.name}`, seen, millis);
  }

  /** The members, as they are listed. */
  async seesMembers(...names) {
    const wanted = names.join();
    const listed = (wanted) => [...document.querySelectorAll("#members .name")].map((it) => it.textContent).join() === wanted;
    await within(`list ${wanted} for ${this.name}`, this.page.waitForFunction(listed, wanted));
  }

  /** Goes on typing until somebody else has seen it: what they see of it is gone after a moment. */
  async typesUntil(seen) {
    let isOver = false;
    const settled = seen.finally(() => (isOver = true));
    do await this.page.type("#text", "e", { delay: 200 });
    while (!isOver);
    await settled;
  }

  async says(message) {
    await this.page.fill("#text", message);
    await this.page.click("[aria-label=Send]");
    const delivered = (message) => {
      const bubble = [...document.querySelectorAll(".mine .bubble")].find((it) => it.textContent === message);
      return bubble && !bubble.closest(".pending, .failed");
    };
    await within(`PUBACK for ${this.name}`, this.page.waitForFunction(delivered, message));
  }

  async hears(message) {
    const heard = (message) => [...document.querySelectorAll(".bubble")].some((it) => it.textContent === message);
    await within(`"${message}" for ${this.name}`, this.page.waitForFunction(heard, message));
  }

  heard() {
    return this.page.$$eval(".bubble", (bubbles) => bubbles.map((it) => it.textContent));
  }

  shoot(name) {
    return this.page.screenshot({ path: join(job.out, `chat-${name}.png`) });
  }

  count(kind) {
    return this.packets.filter((it) => it === kind).length;
  }
}

/** How many connections the broker has accepted so far, of everybody. */
async function connections() {
  const metrics = await (await fetch(job.metrics)).text();
  const line = metrics.split("\n").find((line) => line.startsWith(ACCEPTED));
  if (!line) throw new Error(`the broker counts no ${ACCEPTED}`);
  return Number(line.split(" ").at(-1));
}

async function chat(browser, server) {
  const address = await server.address();
  const before = await connections();
  const ada = await Person.join(browser, address, "Ada Lovelace", "Acme");
  const bob = await Person.join(browser, address, "Bob", "Acme", { colorScheme: "dark" });
  const eve = await Person.join(browser, address, "Eve", "Globex");
  const control = await visitor(job, TOKEN_SECONDS);
  const ended = new Promise((resolve) => control.once("close", resolve));

  await ada.seesMembers("Ada Lovelace", "Bob");
  await bob.seesMembers("Ada Lovelace", "Bob");
  await eve.seesMembers("Eve");

  await ada.says("Morning! Is the build green?");
  await bob.hears("Morning! Is the build green?");
  await bob.typesUntil(ada.sees("#typing", "Bob is typing"));
  same(await eve.page.textContent("#typing"), "", "what another team sees of it");
  await ada.shoot("typing");
  await eve.says("Nobody of Acme should read this");
  await bob.says("Yes, all 640 tests. I have put the numbers into the wiki, with the runs before and after.");
  await ada.hears("Yes, all 640 tests. I have put the numbers into the wiki, with the runs before and after.");
  await ada.sees("#typing", "");
  await ada.says("Great, shipping it.");
  await bob.hears("Great, shipping it.");
  // Whatever could have leaked was on its way before this.
  for (const person of [ada, bob]) {
    if ((await person.heard()).some((it) => it.includes("Nobody"))) throw new Error(`${person.name} hears another team`);
  }
  same(await eve.heard(), ["Nobody of Acme should read this"], "what another team hears");

  const carl = await Person.join(browser, address, "Carl", "Acme", { viewport: { width: 390, height: 780 } });
  await carl.hears("Great, shipping it.");
  same(await carl.heard(), ["Great, shipping it."], "the last message");
  await ada.seesMembers("Ada Lovelace", "Bob", "Carl");
  for (const person of [ada, bob, eve, carl]) await person.shoot(`talk-${person.name}`);

  await renewal(server, ended, [ada, bob, eve, carl], before);
  await departures(ada, bob, carl);
}

/** Every first token has ended, and nobody has noticed. */
async function renewal(server, ended, people, before) {
  await within("the end of a token that is not renewed", ended, TOKEN_DEADLINE);
  await server.lines(/^renewed a token/, people.length, TOKEN_DEADLINE);
  const [ada, bob, , carl] = people;
  // Carl has come last: with his AUTH every first token is replaced.
  await within("AUTH of everybody", (async () => {
    while (people.some((person) => person.count("AUTH") === 0)) await new Promise((resolve) => setTimeout(resolve, 20));
  })());
  await ada.says("Still here, with a new token.");
  await bob.hears("Still here, with a new token.");
  await carl.hears("Still here, with a new token.");
  for (const person of people) {
    same([person.sockets, person.count("CONNECT")], [1, 1], `sockets and CONNECTs of ${person.name}`);
    same(await person.page.textContent("#state"), "connected", `state of ${person.name}`);
  }
  same((await connections()) - before, people.length + 1, "connections at the broker, with that of the control");
}

/** One leaves, and one is killed. */
async function departures(ada, bob, carl) {
  await carl.page.click("#leave");
  await ada.seesMembers("Ada Lovelace", "Bob");
  const crashed = new Promise((resolve) => bob.page.once("crash", resolve));
  bob.page.goto("chrome://crash").catch(() => {}); // There is nobody left to answer.
  await within("the end of the page", crashed);
  await ada.seesMembers("Ada Lovelace");
  await ada.shoot("alone");
}

await tell("people_of_one_team_talk_and_no_other_hears_it_while_tokens_end", async () => {
  const server = new Program(job, "browser-chat", "server.mjs", {
    CLOUDSIGNAL_TEAMS: JSON.stringify(job.teams),
    CHAT_TOKEN_SECONDS: `${TOKEN_SECONDS}`,
  });
  const browser = await launch(job.chromium, join(job.home, "chat"), job.ca_file);
  try {
    await chat(browser, server);
  } finally {
    await browser.close();
    await server.end();
  }
});
