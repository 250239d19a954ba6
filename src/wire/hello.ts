import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Folding } from "../domain/plan.ts";
import { formatTimestamp, parseTimestamp } from "../domain/timestamp.ts";

/** The version of the protocol that this program speaks. */
export const PROTOCOL_VERSION = 1;

/** Everything beyond the plain protocol, by the name under which it is offered. */
export const EXTENSIONS = [
  "pipelining",
  "folders",
  "modes",
  "offer",
  "pieces",
  "credit",
  "tree",
  "settled",
  "moves",
  "verify",
  "rotation",
] as const;

export type Extension = typeof EXTENSIONS[number];

/** What a peer says of itself when a link begins. */
export interface Hello {
  readonly version: number;
  readonly extensions: ReadonlySet<Extension>;
  readonly name: string;
  /** Random id of the running process. */
  readonly process: string;
  /** How the folder that receives treats names. */
  readonly folding: Folding;
  /** Bytes that the other side may send before any of them was taken. */
  readonly windowBytes: number;
  /** Bytes a second that this side wants to receive at most; left out when it takes whatever comes. */
  readonly receiveBytesPerSecond?: number;
  /** What the clock of this side said when it was sent, milliseconds of UTC. Nothing is decided by it. */
  readonly timeMs?: number;
}

/** A window below this could not hold a single small operation. */
const MIN_WINDOW_BYTES = 1024 * 1024;
/** The lowest limit, bytes a second: below it a link could not even be kept alive. */
export const MIN_RATE_BYTES = 1000;

/** The fields of a hello, the same in the request and in its answer. */
export function helloFields(hello: Hello): object {
  return {
    version: hello.version,
    extensions: [...hello.extensions],
    name: hello.name,
    process: hello.process,
    folds: { case: hello.folding.case, unicode: hello.folding.unicode },
    window: hello.windowBytes,
    ...(hello.receiveBytesPerSecond === undefined ? {} : { rate: hello.receiveBytesPerSecond }),
    ...(hello.timeMs === undefined ? {} : { time: formatTimestamp(hello.timeMs) }),
  };
}

/**
 * Reads a hello or the answer to one. Extensions that are not known here are left out.
 *
 * @throws {MirrorError} `bad_hello` naming the field.
 */
export function parseHello(header: RawHeader): Hello {
  const { version, extensions, name, process, folds, window, rate, time } = header;
  if (typeof version !== "number" || !Number.isInteger(version) || version < 1) throw bad("version");
  if (!Array.isArray(extensions) || !extensions.every((e) => typeof e === "string")) throw bad("extensions");
  if (typeof name !== "string" || name.length > 256) throw bad("name");
  if (typeof process !== "string" || process === "" || process.length > 256) throw bad("process");
  if (typeof folds !== "object" || folds === null) throw bad("folds");
  const { case: foldsCase, unicode } = folds as Record<string, unknown>;
  if (typeof foldsCase !== "boolean" || typeof unicode !== "boolean") throw bad("folds");
  if (typeof window !== "number" || !Number.isSafeInteger(window) || window < MIN_WINDOW_BYTES) {
    throw bad("window");
  }
  if (rate !== undefined && !(typeof rate === "number" && rate >= 1 && Number.isFinite(rate))) {
    throw bad("rate");
  }
  const timeMs = time === undefined ? undefined : readTime(time);
  const offered = new Set<unknown>(extensions);
  return {
    version,
    extensions: new Set(EXTENSIONS.filter((extension) => offered.has(extension))),
    name,
    process,
    folding: { case: foldsCase, unicode },
    windowBytes: window,
    ...(rate === undefined ? {} : { receiveBytesPerSecond: Math.max(rate, MIN_RATE_BYTES) }),
    ...(timeMs === undefined ? {} : { timeMs }),
  };
}

function readTime(time: unknown): number {
  if (typeof time !== "string") throw bad("time");
  try {
    return parseTimestamp(time);
  } catch {
    throw bad("time");
  }
}

function bad(field: string): MirrorError {
  return new MirrorError("bad_hello", `the field "${field}" of the hello is missing or wrong`);
}
