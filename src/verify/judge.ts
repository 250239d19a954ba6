import { createHash } from "node:crypto";
import type { ChunkList } from "../chunks/chunk_list.ts";
import { FileError, type FileTree, type ReadHandle } from "../domain/ports.ts";
import { readParts } from "../domain/read_parts.ts";
import type { Slices } from "../domain/slices.ts";
import type { Expected } from "./expected.ts";
import type { ByteRange, Verdict } from "./finding.ts";
import { damagedRanges } from "./ranges.ts";

/** Files up to this have no chunk list: their range is the whole of them. */
export const SMALL_BYTES = 256 * 1024;
/** Above the length up to which a read holds up the control thread: what rots is rarely in the system's memory. */
const READ_BYTES = 512 * 1024;

export interface JudgeParts {
  readonly tree: FileTree;
  readonly slices: Slices;
  /** Looked at now and then; when it says so, reading ends. */
  readonly stopped: () => boolean;
  /** Told of bytes that were read. */
  readonly onRead: (bytes: number) => void;
  /** How the version with this SHA-256 is cut; `null` when nobody knows. */
  readonly listFor: (hash: string) => Promise<ChunkList | null>;
}

/** What one file was found to be. */
export interface Judgement {
  readonly verdict: Verdict | "good";
  readonly ranges: readonly ByteRange[];
  readonly reason: string | null;
  /** SHA-256 of what is really there, when it was read to its end. */
  readonly foundHash: string | null;
}

/**
 * Reads a file again, and compares it with what is remembered.
 *
 * @returns `null` when it was stopped.
 */
export async function judge(parts: JudgeParts, expected: Expected): Promise<Judgement | null> {
  let file: ReadHandle;
  try {
    file = await parts.tree.openRead(expected.diskPath);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    if (error.code === "not_found" || error.code === "not_folder") return verdict("missing");
    if (error.code === "symlink" || error.code === "is_folder" || error.code === "unsupported") {
      return verdict("changed", error.message);
    }
    return verdict("unreadable", error.message);
  }
  try {
    if (!expected.isAsLeft(file.opened)) return verdict("changed");
    if (expected.hash === null) return verdict("unverified");
    const foundHash = await hashOpen(file, parts);
    if (foundHash === null) return null;
    if (foundHash === expected.hash) return { ...verdict("good"), foundHash };
    // Somebody who writes at this moment shows in the stat; what was lost on the disk does not.
    if (!expected.isAsLeft(await file.stat())) return verdict("changed");
    const list = expected.sizeBytes <= SMALL_BYTES ? null : await parts.listFor(expected.hash);
    const ranges = await damagedRanges(file, list, parts.slices, parts.stopped);
    if (ranges === null) return null;
    if (!expected.isAsLeft(await file.stat())) return verdict("changed");
    return { verdict: "damaged", ranges, reason: null, foundHash };
  } catch (error) {
    if (error instanceof FileError) return verdict("unreadable", error.message);
    throw error;
  } finally {
    file.close();
  }
}

function verdict(verdict: Judgement["verdict"], reason: string | null = null): Judgement {
  return { verdict, ranges: [], reason, foundHash: null };
}

/**
 * SHA-256 of an open file, from its start to its end.
 *
 * @returns `null` when it was stopped.
 */
export async function hashOpen(
  file: ReadHandle,
  { slices, stopped, onRead }: Pick<JudgeParts, "slices" | "stopped" | "onRead">,
): Promise<string | null> {
  const hash = createHash("sha256");
  for await (const part of readParts(file, slices, { partBytes: READ_BYTES })) {
    hash.update(part);
    onRead(part.length);
    if (stopped()) return null;
  }
  return hash.digest("hex");
}
