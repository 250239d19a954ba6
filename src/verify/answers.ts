import { isHash } from "../domain/hash.ts";
import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { FileTree } from "../domain/ports.ts";
import { parseRelativePath } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";
import { MAX_FETCH_BYTES } from "./exchange.ts";
import { expectedInSynced } from "./expected.ts";
import { chunksFor, type KnownParts } from "./known_chunks.ts";

/**
 * `fetch`: bytes of a file in `synced/`, for the peer that has sent it. Nobody is told anything but what came from itself: the row
 * must be that peer's, and the file the very one that was put there, by its stat.
 *
 * @throws {MirrorError} the refusal.
 */
export async function answerFetch(
  { store, synced }: { readonly store: Store; readonly synced: FileTree },
  peer: number,
  header: RawHeader,
): Promise<Uint8Array> {
  const { path: text, offset, length } = header;
  if (typeof text !== "string") throw bad("path");
  if (!isCount(offset)) throw bad("offset");
  if (!isCount(length) || length === 0 || length > MAX_FETCH_BYTES) throw bad("length");
  const path = parseRelativePath(text);
  const expected = expectedInSynced(store, peer, path);
  if (expected === null) throw new MirrorError("not_owned", `${path} did not come from you`);
  const file = await synced.openRead(path);
  try {
    if (!expected.isAsLeft(file.opened)) {
      throw new MirrorError(
        "failed",
        `${path} is not as it was put here: it is looked at at the next comparison`,
      );
    }
    const bytes = new Uint8Array(Math.max(0, Math.min(length, file.opened.sizeBytes - offset)));
    return bytes.subarray(0, await file.readAt(bytes, offset));
  } finally {
    file.close();
  }
}

/**
 * `chunks`: how a version is cut that was sent to this peer, or came from it.
 *
 * @throws {MirrorError} the refusal.
 */
export async function answerChunks(
  parts: KnownParts,
  peer: number,
  header: RawHeader,
  stopped: () => boolean,
): Promise<Uint8Array> {
  const { hash } = header;
  if (!isHash(hash)) throw bad("hash");
  const chunks = await chunksFor(parts, peer, hash, stopped);
  if (chunks === null) {
    throw new MirrorError("content_needed", "no such version is here, or no list of its chunks");
  }
  return chunks;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function bad(field: string): MirrorError {
  return new MirrorError("bad_header", `the field "${field}" is missing or wrong`);
}
