import { join } from "node:path";
import { hashFile, readTree } from "../support/tree.ts";

/** How many paths are on one side only, or have other content; every byte is read. */
export function countDifferent(source: string, target: string): number {
  const left = readTree(source);
  const right = readTree(target);
  let different = 0;
  for (const [path, entry] of left) {
    const other = right.get(path);
    if (other?.kind !== entry.kind || other.sizeBytes !== entry.sizeBytes) different++;
    else if (entry.kind === "file" && hashFile(join(source, path)) !== hashFile(join(target, path))) {
      different++;
    }
  }
  for (const path of right.keys()) if (!left.has(path)) different++;
  return different;
}
