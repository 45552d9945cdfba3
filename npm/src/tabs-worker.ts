// The shared worker in which the connection of all tabs lives; its name is that of the connection.

import { once } from "./client/once.js";
import { runHub } from "./tabs/hub.js";
import { connectionOf } from "./tabs/place.js";
import { dial } from "./wire/browser.js";
import { compile } from "./wire/module.js";

const load = once(() => compile(new URL("./cloudsignal.wasm", import.meta.url)));

runHub(connectionOf(self.name), { load, dial }, self.name);
