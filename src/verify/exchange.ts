import * as v from "valibot";
import { HASH } from "../domain/hash.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { parseRelativePath, type RelativePath } from "../domain/relative_path.ts";
import type { Link, Reply } from "../link/link.ts";
import type { FrameReader } from "../wire/frame_reader.ts";
import type { DamagedVersion } from "./correct.ts";
import { FINDING } from "./finding.ts";

/** Content that a request of the extension `verify` may have. */
const MAX_REQUEST_BYTES = 8 * 1024 * 1024;
/** JSON that a reply may have: twice what a report is meant to have, as some characters are escaped. */
const MAX_REPLY_BYTES = 32 * 1024 * 1024;
/**
 * Arrays and objects in such JSON: the most ranges that may be told of, and more. Each takes some fifty bytes, and only one of the
 * other side's, so that without a bound a request could take a good part of a gigabyte.
 */
const MAX_NESTED = 1_100_000;
/** Paths that are named in one request. */
export const MAX_PATHS = 1_000;
/** Bytes that one `fetch` may ask for. */
export const MAX_FETCH_BYTES = 1024 * 1024;

/** Paths of both sides. */
export interface Paths {
  readonly watched: readonly RelativePath[];
  readonly synced: readonly RelativePath[];
}

/** A path that could not be repaired, and why. */
export interface NotRepaired {
  readonly path: RelativePath;
  readonly reason: string;
}

/** What came of a request to repair. */
export interface Repaired {
  /** Damaged versions in `synced/`: they are waiting for what the comparison of trees will bring. */
  readonly damaged: readonly DamagedVersion[];
  /** Paths in `watched/` that are right again. */
  readonly mended: readonly RelativePath[];
  readonly failed: readonly (NotRepaired & { readonly side: "watched" | "synced" })[];
}

const path = v.pipe(
  v.string(),
  v.rawTransform<string, RelativePath>(({ dataset, addIssue, NEVER }) => {
    try {
      return parseRelativePath(dataset.value);
    } catch {
      addIssue({ message: "not a path" });
      return NEVER;
    }
  }),
);
const paths = v.pipe(v.array(path), v.maxLength(MAX_PATHS));
const hash = v.pipe(v.string(), v.regex(HASH));
const PATHS = v.object({ watched: paths, synced: paths });
const DAMAGED = v.pipe(
  v.array(v.object({ path, hash, like: hash, ranges: FINDING.entries.ranges })),
  v.maxLength(MAX_PATHS),
);
const REPAIRED = v.object({
  damaged: DAMAGED,
  mended: paths,
  failed: v.pipe(
    v.array(v.object({ side: FINDING.entries.side, path, reason: v.pipe(v.string(), v.maxLength(2000)) })),
    v.maxLength(2 * MAX_PATHS),
  ),
});

/** Reads the content of a request. @throws {MirrorError} `bad_content` when it is longer than it may be, or no JSON. */
export async function jsonContent(content: FrameReader): Promise<unknown> {
  if (content.contentLeft > MAX_REQUEST_BYTES) {
    throw new MirrorError("bad_content", `the content is longer than ${MAX_REQUEST_BYTES} bytes`);
  }
  return parseJson(await content.rest());
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return null;
  let nested = 0;
  for (const byte of bytes) if (byte === 0x5b || byte === 0x7b) nested++;
  if (nested > MAX_NESTED) throw new MirrorError("bad_content", "the content has more parts than it should");
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MirrorError("bad_content", "the content is not JSON in UTF-8", { cause });
  }
}

/** The content of a request or a reply. */
export function toContent(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** The paths that a `verify` or `repair` names; `null` when it names none. */
export function parsePaths(value: unknown): Paths | null {
  return value === null ? null : parsed(PATHS, value);
}

/** The damaged versions that a `compare` tells of. */
export function parseDamaged(value: unknown): readonly DamagedVersion[] {
  return value === null ? [] : parsed(DAMAGED, value);
}

/** What came of a `repair`. */
export function parseRepaired(value: unknown): Repaired {
  return parsed(REPAIRED, value);
}

function parsed<T>(schema: v.GenericSchema<unknown, T>, value: unknown): T {
  // The first thing that is wrong is enough: a list of all that is could fill the memory.
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  throw new MirrorError("bad_content", "the content has another shape than it should");
}

/**
 * Sends a request of the extension, and gives the answer when it is ok.
 *
 * @throws {MirrorError} the peer's refusal, or `link_closed`.
 */
export async function ask(
  link: Link,
  header: { readonly id: string; readonly action: string } & Readonly<Record<string, unknown>>,
  value: unknown = null,
): Promise<Reply> {
  const reply = await link.request("small", header, value === null ? null : toContent(value));
  if (reply.status === "ok") return reply;
  throw new MirrorError("failed", `${link.peer.name} answers: ${reply.message}`);
}

/** The JSON in a reply's content. @throws {MirrorError} `bad_content` when it is longer than it may be, or no JSON. */
export function jsonOf(reply: Pick<Reply, "content">): unknown {
  if (reply.content.length > MAX_REPLY_BYTES) {
    throw new MirrorError("bad_content", `the content is longer than ${MAX_REPLY_BYTES} bytes`);
  }
  return parseJson(reply.content);
}
