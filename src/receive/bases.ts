import { type Cutting, cuttingFor } from "../chunks/gear.ts";
import { readChunks } from "../chunks/read_chunks.ts";
import { type Clock, FileError, type FileTree, type ReadHandle } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";
import { sameMark } from "./apply.ts";

/** A file smaller than this is not worth to be described to the sender. */
export const MIN_REMNANT_BYTES = 256 * 1024;

/** A file that is open to be copied from. */
interface OpenBase {
  readonly hash: string;
  readonly file: ReadHandle;
}

/** What a transfer can be built on: versions that the peer has put here, and what lies in the place of the new file. */
export class Bases {
  readonly #parts: { readonly tree: FileTree; readonly store: Store; readonly clock: Clock };
  readonly #peer: number;
  readonly #path: RelativePath;
  #open: OpenBase | null = null;
  #remnant: OpenBase | null = null;
  #described = false;

  constructor(
    parts: { readonly tree: FileTree; readonly store: Store; readonly clock: Clock },
    peer: number,
    path: RelativePath,
  ) {
    this.#parts = parts;
    this.#peer = peer;
    this.#path = path;
  }

  /**
   * Opens content that a script builds on: the version at the path itself, or a file anywhere in `synced/` that the peer has put
   * there with this hash and that is, by its stat, as it was put there.
   *
   * @returns `null` when there is none.
   */
  async open(hash: string): Promise<ReadHandle | null> {
    if (this.#remnant?.hash === hash) return this.#remnant.file;
    if (this.#open?.hash === hash) return this.#open.file;
    const { tree, store } = this.#parts;
    for (const row of store.synced.withHash(this.#peer, hash, this.#path)) {
      const file = await openOrNull(tree, row.path);
      if (file === null) continue;
      if (!sameMark(file.opened, row)) {
        file.close();
        continue;
      }
      this.#open?.file.close();
      this.#open = { hash, file };
      return file;
    }
    return null;
  }

  /**
   * Reads what the new file may be like although nothing is known of it: what lies at its path, or the copy that was made of it
   * when it was found edited by hand. Once for a transfer.
   *
   * @param copy Disk path of that copy.
   * @returns Its hash and its chunk list, to be told to the sender; `null` when there is nothing of use.
   */
  async describeRemnant(
    copy: string | null,
    stopped: () => boolean,
  ): Promise<{ hash: string; chunks: Uint8Array } | null> {
    if (this.#described) return null;
    this.#described = true;
    for (const path of [this.#path, ...(copy === null ? [] : [copy])]) {
      const file = await openOrNull(this.#parts.tree, path);
      if (file === null) continue;
      const { sizeBytes } = file.opened;
      if (sizeBytes < MIN_REMNANT_BYTES) {
        file.close();
        continue;
      }
      const described = await this.#describe(file, sizeBytes, stopped);
      if (described !== null) return described;
    }
    return null;
  }

  /**
   * The same of the beginning of another version of the file, which goes on as this one only in part.
   *
   * @param file Open; closed with the others.
   * @param sizeBytes Bytes of it that were checked.
   * @param cutting How the sender cuts the new file, if it has said so.
   */
  async describeBeginning(
    file: ReadHandle,
    sizeBytes: number,
    cutting: Cutting | null,
    stopped: () => boolean,
  ): Promise<{ hash: string; chunks: Uint8Array } | null> {
    this.#described = true;
    return await this.#describe(file, sizeBytes, stopped, cutting ?? cuttingFor(sizeBytes, true));
  }

  /** Reads a file, which is the remnant from then on; it is closed when it cannot be described. */
  async #describe(
    file: ReadHandle,
    sizeBytes: number,
    stopped: () => boolean,
    cutting = cuttingFor(sizeBytes, true),
  ): Promise<{ hash: string; chunks: Uint8Array } | null> {
    // Closed with the others if reading fails.
    this.#remnant = { hash: "", file };
    const found = await readChunks(file, cutting, this.#parts.clock, stopped, sizeBytes);
    if (found === null || found.chunks === null) {
      file.close();
      this.#remnant = null;
      return null;
    }
    this.#remnant = { hash: found.hash, file };
    return { hash: found.hash, chunks: found.chunks };
  }

  /** Whether it was told already what there is. */
  get isDescribed(): boolean {
    return this.#described;
  }

  close(): void {
    this.#open?.file.close();
    this.#remnant?.file.close();
    this.#open = this.#remnant = null;
  }
}

/** What cannot be opened is no help. */
async function openOrNull(tree: FileTree, path: string): Promise<ReadHandle | null> {
  try {
    return await tree.openRead(path);
  } catch (error) {
    if (error instanceof FileError) return null;
    throw error;
  }
}
