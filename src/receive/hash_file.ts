import { createHash } from "node:crypto";
import type { Clock, FileTree } from "../domain/ports.ts";
import { Slices } from "../domain/slices.ts";

const READ_BYTES = 256 * 1024;

/** SHA-256 of a file's content as it is now, in hex. Others get their turn in between. */
export async function hashFile(tree: FileTree, path: string, clock: Clock): Promise<string> {
  const file = await tree.openRead(path);
  try {
    const hash = createHash("sha256");
    const slices = new Slices(clock);
    const buffer = new Uint8Array(READ_BYTES);
    for (let offset = 0;;) {
      const count = await file.readAt(buffer, offset);
      if (count === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, count));
      offset += count;
      if (slices.over) await slices.rest();
    }
  } finally {
    file.close();
  }
}
