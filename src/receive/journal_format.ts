import { Buffer } from "node:buffer";
import { hash as hashOf } from "node:crypto";
import { HASH } from "../domain/hash.ts";
import type { PathState } from "../domain/observation.ts";
import type { ReadHandle } from "../domain/ports.ts";
import { parseRelativePath, type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";

/** A file that is put in place with a group, as its journal tells of it. */
export interface JournalEntry {
  readonly peer: number;
  readonly path: RelativePath;
  /** Disk path in the staging folder that keeps the old content while the commit runs. */
  readonly aside: string;
  readonly state: PathState;
}

/** One entry of a journal that is read again. */
export interface ReadEntry {
  readonly entry: JournalEntry;
  /** Where the lump ends that the entry belongs to. */
  readonly lumpEnd: number;
  /** Reads the content; `null` when it is not what the entry says: its lump never became durable. */
  readonly content: () => Promise<Uint8Array | null>;
}

/** Length of the index, its SHA-256. */
const HEAD_BYTES = 8 + 32;
/** No group's index is longer: 256 paths of 4,096 bytes, each perhaps escaped. */
const MAX_INDEX_BYTES = 16 * 1024 * 1024;
/** No content in a journal is longer; a small file's limit. */
const MAX_CONTENT_BYTES = 256 * 1024;
const ASIDE = `${STAGING_FOLDER}/old-`;

/** An entry in the index: peer, path, aside, size, mtime, executable, hash. */
type Line = readonly [number, string, string, number, number, 0 | 1, string];

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * What stands in a journal before the contents of one group: 8 bytes, big endian, the length of the index; 32 bytes, the index's
 * SHA-256; the index, JSON in UTF-8. The contents follow without anything between them, in the order of the index.
 */
export function encodeLumpHead(entries: readonly JournalEntry[]): Uint8Array {
  const lines = entries.map(({ peer, path, aside, state }): Line => [
    peer,
    path,
    aside,
    state.sizeBytes,
    state.mtimeMs,
    state.executable ? 1 : 0,
    state.hash,
  ]);
  const index = encoder.encode(JSON.stringify(lines));
  const head = new Uint8Array(HEAD_BYTES + index.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(index.length));
  head.set(hashOf("sha256", index, "buffer"), 8);
  head.set(index, HEAD_BYTES);
  return head;
}

/** Reads a journal from its start up to the first lump whose index is not whole. */
export async function* readJournal(file: ReadHandle): AsyncGenerator<ReadEntry> {
  const head = new Uint8Array(HEAD_BYTES);
  for (let offset = 0;;) {
    if (await file.readAt(head, offset) < HEAD_BYTES) return;
    const length = new DataView(head.buffer).getBigUint64(0);
    if (length > MAX_INDEX_BYTES) return;
    const index = new Uint8Array(Number(length));
    offset += HEAD_BYTES;
    if (await file.readAt(index, offset) < index.length) return;
    if (!Buffer.from(head.subarray(8)).equals(hashOf("sha256", index, "buffer"))) return;
    const entries = parseIndex(index);
    if (entries === null) return;
    offset += index.length;
    const lumpEnd = entries.reduce((end, { state }) => end + state.sizeBytes, offset);
    for (const entry of entries) {
      const from = offset;
      yield { entry, lumpEnd, content: () => readContent(file, entry, from) };
      offset += entry.state.sizeBytes;
    }
  }
}

async function readContent(
  file: ReadHandle,
  { state }: JournalEntry,
  offset: number,
): Promise<Uint8Array | null> {
  const content = new Uint8Array(state.sizeBytes);
  const count = await file.readAt(content, offset);
  return count === content.length && hashOf("sha256", content, "hex") === state.hash ? content : null;
}

/** `null` when it has the right SHA-256 and is not what we write: then somebody else wrote it, and nothing in it counts. */
function parseIndex(index: Uint8Array): JournalEntry[] | null {
  try {
    return (JSON.parse(decoder.decode(index)) as unknown[]).map((line) => {
      if (!isLine(line)) throw new RangeError("no journal of ours says that");
      const [peer, path, aside, sizeBytes, mtimeMs, executable, hash] = line;
      const state = { kind: "file", sizeBytes, mtimeMs, executable: executable === 1, hash } as const;
      return { peer, path: parseRelativePath(path), aside, state };
    });
  } catch {
    return null;
  }
}

function isLine(line: unknown): line is Line {
  if (!Array.isArray(line) || line.length !== 7) return false;
  const [peer, path, aside, sizeBytes, mtimeMs, executable, hash] = line as unknown[];
  return Number.isSafeInteger(peer) && typeof path === "string" && typeof aside === "string" &&
    aside.startsWith(ASIDE) && !/[/\0]/.test(aside.slice(ASIDE.length)) && aside.isWellFormed() &&
    Number.isSafeInteger(sizeBytes) && (sizeBytes as number) >= 0 &&
    (sizeBytes as number) <= MAX_CONTENT_BYTES && Number.isSafeInteger(mtimeMs) &&
    (executable === 0 || executable === 1) && typeof hash === "string" && HASH.test(hash);
}
