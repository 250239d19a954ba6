import { createHash } from "node:crypto";
import type { Clock, FileTree } from "../domain/ports.ts";
import { readParts } from "../domain/read_parts.ts";
import { Slices } from "../domain/slices.ts";

/** SHA-256 of a file's content as it is now, in hex. Others get their turn in between. */
export async function hashFile(tree: FileTree, path: string, clock: Clock): Promise<string> {
  const file = await tree.openRead(path);
  try {
    const hash = createHash("sha256");
    for await (const part of readParts(file, new Slices(clock))) hash.update(part);
    return hash.digest("hex");
  } finally {
    file.close();
  }
}
