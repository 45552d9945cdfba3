import type * as Raw from "../../generated/exports.js";

/** What a module can be made from. */
export type ModuleSource = WebAssembly.Module | BufferSource | Response | URL | string;

/** Gives the compiled module, as soon as it is there. */
export type ModuleLoader = () => Promise<WebAssembly.Module>;

/** Compiles a source; what comes from the network is compiled while it arrives. */
export async function compile(source: ModuleSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === "string" || source instanceof URL) source = await fetch(source);
  if (!(source instanceof Response)) return WebAssembly.compile(source as BufferSource);
  // A server that does not know the file's type says something else; then it is compiled once it is whole. What is no
  // module, as the page of a server that has no such file, is refused either way.
  if (source.headers.get("content-type")?.startsWith("application/wasm")) return WebAssembly.compileStreaming(source);
  return WebAssembly.compile(await source.arrayBuffer());
}

/** @internal What the module exports: functions of numbers, so nothing has to be bound. */
export type Exports = typeof Raw;

let exports: Exports | undefined;

/** @internal The one instance that all clients of a page share. */
export async function instantiate(load: ModuleLoader): Promise<Exports> {
  if (exports) return exports;
  const module = await load();
  exports ??= new WebAssembly.Instance(module, IMPORTS).exports as Exports;
  return exports;
}

/** @internal After a fault, the next client gets another instance. */
export function discard(faulty: Exports): void {
  if (exports === faulty) exports = undefined;
}

/** What the module imports is there to report misuse, which is a fault of ours. */
const MISUSE = new Proxy({} as WebAssembly.ModuleImports, {
  get: (_, name: string) => () => {
    throw new Error(name);
  },
});
const IMPORTS = new Proxy({} as WebAssembly.Imports, { get: () => MISUSE });
