import type { ReadHandle } from "./ports.ts";
import type { Slices } from "./slices.ts";

const PART_BYTES = 256 * 1024;

/**
 * What an open file holds, from its start on, part by part; others get their turn in between. A part is good until the next one: the
 * buffer is used again.
 *
 * @param options `endBytes`: where to end if the file goes on; a file that is shorter just ends sooner. `partBytes`: the longest part.
 */
export async function* readParts(
  file: ReadHandle,
  slices: Slices,
  { endBytes = Infinity, partBytes = PART_BYTES }: {
    readonly endBytes?: number;
    readonly partBytes?: number;
  } = {},
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(partBytes, Math.max(4096, file.opened.sizeBytes)));
  for (let offset = 0; offset < endBytes;) {
    const count = await file.readAt(buffer.subarray(0, Math.min(buffer.length, endBytes - offset)), offset);
    if (count === 0) return;
    offset += count;
    yield buffer.subarray(0, count);
    if (slices.over) await slices.rest();
  }
}
