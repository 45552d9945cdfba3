// How the chat looks.

/** So many messages are shown; older ones go. */
const SHOWN_MAX = 500;

/** Who has spoken last, when that was before one came. */
const EARLIER = Symbol("earlier");

const at = (id) => document.getElementById(id);

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/** Everybody has a colour, the same on each page. */
function hue(member) {
  let sum = 0;
  for (const character of member) sum = (sum * 31 + character.codePointAt(0)) % 360;
  return sum;
}

function avatar(member, name) {
  const initials = name.split(/\s+/).slice(0, 2).map((word) => [...word][0]?.toUpperCase() ?? "");
  const made = element("span", "avatar", initials.join(""));
  made.style.setProperty("--hue", hue(member));
  made.setAttribute("aria-hidden", "true");
  return made;
}

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const collator = new Intl.Collator();

const STATES = {
  idle: "offline",
  connecting: "connecting …",
  connected: "connected",
  waiting: "reconnecting …",
  suspended: "paused",
  closed: "disconnected",
};

class Messages {
  #list = at("messages");
  #shown = new Map();
  #last;

  constructor(me) {
    this.me = me;
  }

  /** A message that is there already stays where it is: one's own comes back from the server. */
  put({ id, from, name, text, at, isEarlier }, outcome) {
    if (this.#shown.has(id)) return this.#shown.get(id);
    this.#list.querySelector(".empty")?.remove();
    const isMine = from === this.me;
    const isNext = this.#last === from && !isEarlier;
    if (this.#last === EARLIER) this.#list.append(element("li", "divider", "New"));
    this.#last = isEarlier ? EARLIER : from;
    const bubble = element("div", "bubble", text);
    const head = element("div", "head", element("strong", "", isMine ? "You" : name), element("time", "", time.format(at)));
    const item = element("li", "message", avatar(from, name), element("div", "body", head, bubble));
    item.classList.toggle("mine", isMine);
    item.classList.toggle("next", isNext);
    if (isEarlier) this.#list.append(element("li", "divider", "Said before you came"));
    this.#list.append(item);
    this.#shown.set(id, item);
    this.#forget();
    item.scrollIntoView({ block: "end" });
    if (outcome) void this.#follow(item, outcome);
    return item;
  }

  async #follow(item, outcome) {
    item.classList.add("pending");
    const { kind } = await outcome.catch(() => ({ kind: "rejected" }));
    item.classList.remove("pending");
    item.classList.toggle("failed", kind !== "acked");
  }

  #forget() {
    if (this.#shown.size <= SHOWN_MAX) return;
    const [id, item] = this.#shown.entries().next().value;
    this.#shown.delete(id);
    item.remove();
  }
}

function showMembers(list, me) {
  const sorted = [...list].sort(([, a], [, b]) => collator.compare(a, b));
  const items = sorted.map(([member, name]) => {
    const you = member === me ? [element("span", "muted", "you")] : [];
    return element("li", "", avatar(member, name), element("span", "name", name), ...you);
  });
  at("members").replaceChildren(...items);
  at("count").textContent = `${list.size}`;
}

function typingText(names) {
  if (names.length === 0) return [];
  const who = names.length > 2 ? `${names.length} people are` : `${names.join(" and ")} ${names.length === 1 ? "is" : "are"}`;
  return [element("span", "dots", element("i", ""), element("i", ""), element("i", "")), `${who} typing`];
}

/** Shows a chat, until the user leaves it. */
export function show(chat, team, onLeft) {
  at("chat").hidden = false;
  at("team").textContent = team;
  const messages = new Messages(chat.me);
  chat.onMessage((message) => messages.put(message));
  chat.onMembers((list) => showMembers(list, chat.me));
  chat.onTyping((names) => at("typing").replaceChildren(...typingText(names)));
  chat.onState(({ kind }) => {
    at("state").textContent = STATES[kind];
    at("state").dataset.kind = kind;
  });
  const text = at("text");
  text.addEventListener("input", () => text.value && chat.typing());
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const said = text.value.trim();
    if (!said) return;
    text.value = "";
    const { message, outcome } = chat.send(said);
    messages.put(message, outcome);
  });
  at("leave").addEventListener("click", async () => {
    await chat.leave();
    onLeft();
  });
  text.focus();
}
