import { createHash } from "node:crypto";
import type { FileTree } from "../domain/ports.ts";

const READ_BYTES = 256 * 1024;

/** SHA-256 of a file's content as it is now, in hex. */
export async function hashFile(tree: FileTree, path: string): Promise<string> {
  const file = await tree.openRead(path);
  try {
    const hash = createHash("sha256");
    const buffer = new Uint8Array(READ_BYTES);
    for (let offset = 0;;) {
      const count = await file.readAt(buffer, offset);
      if (count === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, count));
      offset += count;
    }
  } finally {
    file.close();
  }
}
