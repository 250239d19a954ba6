import type { Edit, FolderNode } from "./memory_nodes.ts";
import type { Prng } from "./prng.ts";

/**
 * The changes of folders' entries that were made and are not on the disk for certain. Each is atomic, a rename across folders too.
 * Those of one folder reach the disk in their order; those of different folders in any order, unless a rename ties them together.
 */
export class EntryJournal {
  #changes: (readonly Edit[])[] = [];

  get isEmpty(): boolean {
    return this.#changes.length === 0;
  }

  note(edits: readonly Edit[]): void {
    this.#changes.push(edits);
  }

  /** A folder's entries are on the disk, with all that had to come before. */
  flush(folder: FolderNode): void {
    const folders = new Set([folder]);
    const needed = new Set<readonly Edit[]>();
    for (const change of [...this.#changes].reverse()) {
      if (!change.some((edit) => folders.has(edit.folder))) continue;
      needed.add(change);
      for (const edit of change) folders.add(edit.folder);
    }
    for (const change of this.#changes) if (needed.has(change)) apply(change);
    this.#changes = this.#changes.filter((change) => !needed.has(change));
  }

  flushAll(): void {
    for (const change of this.#changes.splice(0)) apply(change);
  }

  /** The power is cut: what was on its way to the disk has arrived, or not. */
  cutPower(random: Prng, survives: number): void {
    const stopped = new Set<FolderNode>();
    for (const change of this.#changes.splice(0)) {
      const lost = change.some((edit) => stopped.has(edit.folder)) || !random.chance(survives);
      if (!lost) apply(change);
      else for (const edit of change) stopped.add(edit.folder);
    }
  }
}

function apply(change: readonly Edit[]): void {
  for (const { folder, name, node } of change) {
    if (node === null) folder.durable.delete(name);
    else folder.durable.set(name, node);
  }
}
