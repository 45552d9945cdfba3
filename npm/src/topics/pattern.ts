// Patterns: topic filters whose levels may have names. `agents/:id/state` is `agents/+/state`, `logs/*rest` is `logs/#`.

type NameOf<Level extends string> = Level extends `:${infer Name}` ? Name : Level extends `*${infer Name}` ? Name : never;

type Names<Pattern extends string> = Pattern extends `${infer Level}/${infer Rest}`
  ? NameOf<Level> | Names<Rest>
  : NameOf<Pattern>;

/** The parameters of a pattern: `Params<"agents/:id/*rest">` is `{ id: string; rest: string }`. */
export type Params<Pattern extends string> = string extends Pattern
  ? Record<string, string>
  : { readonly [Name in Exclude<Names<Pattern>, "">]: string };

/** A pattern, understood. */
export interface Route {
  /** What the server is asked for. */
  readonly filter: string;
  /** The parameters in a topic that the filter matches. */
  params(topic: string): Record<string, string>;
}

const NONE: Record<string, string> = Object.freeze({});

/** Reads a pattern. The filter itself is checked when it is subscribed. */
export function route(pattern: string): Route {
  const levels = pattern.split("/");
  const names: [at: number, name: string, takesRest: boolean][] = [];
  const start = levels[0] === "$share" ? 2 : 0;
  const filter = levels.map((level, at) => {
    const mark = level[0];
    if (mark !== ":" && mark !== "*") return level;
    if (level.length > 1) names.push([at - start, level.slice(1), mark === "*"]);
    return mark === ":" ? "+" : "#";
  });
  return { filter: filter.join("/"), params: names.length > 0 ? reader(names) : () => NONE };
}

/** Remembers the last topic: real traffic repeats itself. */
function reader(names: readonly [number, string, boolean][]): (topic: string) => Record<string, string> {
  let last: string | undefined;
  let params = NONE;
  return (topic) => {
    if (topic === last) return params;
    const levels = topic.split("/");
    const found: Record<string, string> = {};
    for (const [at, name, takesRest] of names) {
      found[name] = takesRest ? levels.slice(at).join("/") : (levels[at] ?? "");
    }
    last = topic;
    params = Object.freeze(found);
    return params;
  };
}
