import type { Fact } from "./facts_plugin.ts";

/** The rooms of `src/` in the direction in which data flows (DESIGN.md, Layout). A new room gets its place here. */
export const ROOMS: readonly string[] = [
  ...[
    "domain",
    "system",
    "wire",
    "identity",
    "link",
    "store",
    "watch",
    "chunks",
    "send",
    "receive",
    "verify",
    "auth",
    "peer",
    "service",
    "notify",
    "cli",
  ],
];

/** The rooms at the edge, which may touch the system. */
const EDGES: ReadonlySet<string> = new Set([
  "system",
  "store",
  "identity",
  "link",
  "peer",
  "service",
  "notify",
  "cli",
]);
/** Who may import the adapters of the real system: the others are handed them. */
const USE_SYSTEM: ReadonlySet<string> = new Set(["system", "peer", "cli"]);
/** Node's modules that only compute. */
const PURE_NODE: ReadonlySet<string> = new Set(["node:crypto", "node:zlib", "node:buffer", "node:path"]);
const OUTPUT: ReadonlySet<string> = new Set([
  "console",
  "Deno.stdout",
  "Deno.stderr",
  "process.stdout",
  "process.stderr",
]);
const EDGE_GLOBALS: ReadonlySet<string> = new Set([
  ...["Deno", "process", "fetch", "WebSocket", "XMLHttpRequest", "localStorage", "sessionStorage", "caches"],
]);
/** What makes a function give another answer each time. */
const IMPURE_GLOBALS: ReadonlySet<string> = new Set([
  ...["Date.now", "new Date()", "Math.random", "crypto.randomUUID", "crypto.getRandomValues"],
  ...["setTimeout", "setInterval", "performance"],
]);

/** Where an import leads. */
export type Target =
  | { readonly kind: "room"; readonly room: string }
  | { readonly kind: "outside"; readonly path: string }
  | { readonly kind: "node"; readonly module: string }
  | { readonly kind: "package"; readonly name: string }
  | { readonly kind: "unknown" };

/** What is wrong about importing `target` in `room`, or `null` when it is allowed. */
export function judgeImport(room: string, target: Target): string | null {
  switch (target.kind) {
    case "unknown":
      return "imports what only the running program knows, write the specifier as plain text";
    case "outside":
      return `src/ imports ${target.path}, which is outside of it; move what is needed into a room`;
    case "package":
      return room === "domain"
        ? `domain/ imports the package ${target.name}; domain/ is pure and imports only domain/`
        : null;
    case "node":
      if (room === "domain") {
        return `domain/ imports ${target.module}; domain/ is pure and imports only domain/`;
      }
      if (EDGES.has(room) || PURE_NODE.has(target.module)) return null;
      return `${room}/ imports ${target.module}; only ${
        list(EDGES)
      } touch the system, have it handed in through a port ` +
        `(pure ${list(PURE_NODE)} are allowed)`;
    case "room":
      return judgeRoom(room, target.room);
  }
}

function judgeRoom(from: string, to: string): string | null {
  if (from === to) return null;
  if (!ROOMS.includes(to)) {
    return `imports the unknown room ${to}/; give it its place in scripts/support/rooms.ts`;
  }
  if (from === "domain") return `domain/ imports ${to}/; domain/ is pure and imports only domain/`;
  if (to === "system" && !USE_SYSTEM.has(from)) {
    return `${from}/ imports system/; use a port of domain/ports.ts, which peer/ fills in`;
  }
  if ((from === "send" && to === "receive") || (from === "receive" && to === "send")) {
    return `${from}/ imports ${to}/; the two directions know nothing of each other, what they share goes into a room before both`;
  }
  if (ROOMS.indexOf(to) > ROOMS.indexOf(from)) {
    return `${from}/ imports ${to}/, which comes after it; turn it round, or hand it in (order: ${
      ROOMS.join(", ")
    })`;
  }
  return null;
}

/** What is wrong about touching a global in `room`, or `null` when it is allowed. */
export function judgeGlobal(room: string, name: string): string | null {
  if (OUTPUT.has(name) && room !== "cli") {
    return `${room}/ prints (${name}); only cli/ prints, hand an event or an error out`;
  }
  if (EDGE_GLOBALS.has(name) && !EDGES.has(room)) {
    return `${room}/ touches ${name}; only ${list(EDGES)} touch the system, have it handed in through a port`;
  }
  if (IMPURE_GLOBALS.has(name) && room === "domain") {
    return `domain/ uses ${name}; no clock and no randomness there, have it handed in`;
  }
  return null;
}

/** What is wrong about a fact in `room`; `resolve` says where an import leads. */
export function judge(room: string, fact: Fact, resolve: (specifier: string) => Target): string | null {
  if (fact.kind === "global") return judgeGlobal(room, fact.name);
  return judgeImport(room, fact.specifier === null ? { kind: "unknown" } : resolve(fact.specifier));
}

function list(names: ReadonlySet<string>): string {
  return [...names].join(", ");
}
