// From the login to the chat and back.

import { Chat } from "./chat.js";
import { show } from "./view.js";

const login = document.querySelector("#login");
const form = login.querySelector("form");
const problem = login.querySelector(".problem");

async function post(path, body, signal) {
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body), signal });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

const teams = await (await fetch("/teams")).json();
form.team.append(...teams.map((team) => new Option(team)));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  try {
    const name = form.elements.name.value.trim();
    const { team, url } = await post("/login", { name, team: form.elements.team.value });
    const chat = new Chat({ url, name, askToken: (reason, signal) => post("/token", { reason }, signal) });
    login.hidden = true;
    show(chat, team, () => location.reload());
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});
