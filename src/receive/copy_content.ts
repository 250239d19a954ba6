import { createHash } from "node:crypto";
import type { Operation } from "../domain/header.ts";
import { type Clock, FileError, type FileTree, type ReadHandle } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { readParts } from "../domain/read_parts.ts";
import { Slices } from "../domain/slices.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { sameMark } from "./apply.ts";
import type { Staged, Staging } from "./staging.ts";

export interface CopyParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly clock: Clock;
  readonly staging: Staging;
  /** A file of a peer is not what was put in place, although nobody has touched it. */
  readonly onDamage: (peer: number, path: RelativePath) => void;
}

/**
 * Makes the file that is offered of the same content elsewhere in `synced/`, if the peer has put it there and it is as it was put
 * there, or of what the peer had put here and the trash still has. It is hashed while it is copied: what the disk has spoiled since is not passed on.
 *
 * @param stopped Looked at now and then; when it says so, copying ends.
 * @returns The staged copy; `null` when there is none to be had, or what lies at the path itself may already be it.
 */
export async function copyContent(
  parts: CopyParts,
  peer: number,
  operation: Operation,
  stopped: () => boolean,
): Promise<Staged | null> {
  const { tree, store, clock } = parts;
  const there = await tree.lstat(operation.path);
  if (there?.kind === "file" && there.sizeBytes === operation.sizeBytes) return null;
  for (const row of store.synced.withHash(peer, operation.hash, operation.path)) {
    if (row.path === operation.path) continue;
    const file = await openAsLeft(tree, row.path, (stat) => sameMark(stat, row));
    if (file === null) continue;
    try {
      const staged = await copy(parts, file, operation, stopped);
      if (staged !== null) return staged;
      if (stopped()) return null;
      const message =
        "its content is not what the peer had sent, although nobody changed it: the disk may be failing";
      store.log.add(localNote(clock.now(), "damage", row.path, "damage", message));
      parts.onDamage(peer, row.path);
    } finally {
      file.close();
    }
  }
  return await copyFromTrash(parts, peer, operation, stopped);
}

/** A file that comes back after it was deleted or replaced. */
async function copyFromTrash(
  parts: CopyParts,
  peer: number,
  operation: Operation,
  stopped: () => boolean,
): Promise<Staged | null> {
  for (const { stored } of parts.store.trash.withHash(peer, operation.hash)) {
    const isWhole = ({ sizeBytes }: ReadHandle["opened"]) => sizeBytes === operation.sizeBytes;
    const file = stored === null ? null : await openAsLeft(parts.tree, stored, isWhole);
    if (file === null) continue;
    try {
      const staged = await copy(parts, file, operation, stopped);
      if (staged !== null || stopped()) return staged;
    } finally {
      file.close();
    }
  }
  return null;
}

async function openAsLeft(
  tree: FileTree,
  path: string,
  isAsLeft: (stat: ReadHandle["opened"]) => boolean,
): Promise<ReadHandle | null> {
  try {
    const file = await tree.openRead(path);
    if (isAsLeft(file.opened)) return file;
    file.close();
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
  }
  return null;
}

/** @returns `null` when it was stopped, or the copy has another hash. */
async function copy(
  { clock, staging, tree }: CopyParts,
  file: ReadHandle,
  operation: Operation,
  stopped: () => boolean,
): Promise<Staged | null> {
  const staged = await staging.create();
  let good = false;
  try {
    const hash = createHash("sha256");
    for await (const part of readParts(file, new Slices(clock), { endBytes: operation.sizeBytes })) {
      if (stopped()) break;
      hash.update(part);
      await staged.handle.write(part);
    }
    good = !stopped() && hash.digest("hex") === operation.hash;
    return good ? staged : null;
  } finally {
    if (!good) {
      staged.handle.close();
      await tree.unlink(staged.path);
    }
  }
}
