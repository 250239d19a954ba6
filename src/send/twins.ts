import type { Observation } from "../domain/observation.ts";
import { FileError, type FileTree, type ReadHandle } from "../domain/ports.ts";

const SAMPLE_BYTES = 4096;

/**
 * Whether two files of one size look like copies of each other: by samples from their start, middle and end. Samples of nothing but one
 * byte (zeros, mostly) tell nothing, and a file that cannot be read looks like none.
 */
export async function lookAlike(tree: FileTree, one: Observation, other: Observation): Promise<boolean> {
  if (one.sizeBytes !== other.sizeBytes) return false;
  const open: ReadHandle[] = [];
  try {
    for (const { diskPath } of [one, other]) open.push(await tree.openRead(diskPath));
    const lastAt = Math.max(0, one.sizeBytes - SAMPLE_BYTES);
    let tells = false;
    for (const at of [0, Math.floor(lastAt / 2), lastAt]) {
      const [a, b] = await Promise.all(open.map((file) => sampleOf(file, at)));
      if (a!.some((byte, i) => byte !== b![i])) return false;
      tells ||= a!.some((byte) => byte !== a![0]);
    }
    return tells;
  } catch (error) {
    if (error instanceof FileError) return false;
    throw error;
  } finally {
    for (const file of open) file.close();
  }
}

async function sampleOf(file: ReadHandle, at: number): Promise<Uint8Array> {
  const sample = new Uint8Array(SAMPLE_BYTES);
  return sample.subarray(0, await file.readAt(sample, at));
}
