import { join } from "node:path";
import { lstatOrNull, readTree } from "../support/tree.ts";

/**
 * Looks whether every file of the tree `source`, as it is now, is at `target` with its size and time, and nothing at the paths
 * that have to go. It can be asked every few milliseconds: what was there is not looked at again. All tools rename files into
 * place when they are whole; whether the bytes are right is for {@linkcode countDifferent}. Unison keeps whole seconds.
 */
export function arrivalOfTree(source: string, target: string, gone: readonly string[] = []): () => boolean {
  const missing = [...readTree(source)].filter(([, { kind }]) => kind === "file").map(([path, entry]) => ({
    path: join(target, path),
    sizeBytes: entry.sizeBytes,
    second: Math.floor(entry.mtimeMs / 1000),
  }));
  const left = [...gone];
  return () => {
    for (let next = missing.at(-1); next !== undefined; next = missing.at(-1)) {
      const there = lstatOrNull(next.path);
      if (there?.size !== next.sizeBytes) return false;
      if (Math.floor((there.mtime?.getTime() ?? 0) / 1000) !== next.second) return false;
      missing.pop();
    }
    for (let next = left.at(-1); next !== undefined; next = left.at(-1)) {
      if (lstatOrNull(next) !== null) return false;
      left.pop();
    }
    return true;
  };
}
