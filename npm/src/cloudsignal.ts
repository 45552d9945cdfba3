// The module as a script, for whoever has no file of it.

import module from "../generated/module.wasm";

const bytes: Uint8Array = module;

export default bytes;
