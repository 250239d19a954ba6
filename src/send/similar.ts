import { gzipSync } from "node:zlib";
import { ChunkList, type ChunkMark, crcOf } from "../chunks/chunk_list.ts";
import { Differ } from "../chunks/differ.ts";
import { type Cutting, cuttingFor, cuttingOf } from "../chunks/gear.ts";
import { isHook } from "../chunks/hooks.ts";
import type { ReadHandle } from "../domain/ports.ts";
import type { Store } from "../store/store.ts";
import type { Base } from "./outgoing.ts";

/** Bytes from the start of a file by which it is found out how to cut it. */
const PROBE_BYTES = 512 * 1024;
const SAMPLE_BYTES = 4096;
/** Content that shrinks to less than this share is text or the like. */
const TEXT = 0.9;
/** Look-ups in a row without a result after which a file is taken for new. */
const MAX_MISSES = 1000;
/** Bases of one file. */
const MAX_BASES = 64;
const MIN_BITS = 10;
const MAX_BITS = 20;

/** Finds, for a file of which nothing is known, other files of the peer that have something in common with it. */
export class Similar {
  readonly #store: Store;
  readonly #peer: number;
  readonly #known = new Map<string, Base | null>();
  #misses = 0;

  constructor(store: Store, peer: number) {
    this.#store = store;
    this.#peer = peer;
  }

  /**
   * Looks at the beginning of a file.
   *
   * @returns How it is to be cut, and what it has something in common with: cut like the files of the peer that it has most in common
   * with, or else as its size asks for.
   */
  async probe(file: ReadHandle): Promise<{ readonly cutting: Cutting; readonly bases: Base[] }> {
    const probe = new Uint8Array(Math.min(PROBE_BYTES, file.opened.sizeBytes));
    const bytes = probe.subarray(0, await file.readAt(probe, 0));
    let best = { cutting: cuttingFor(file.opened.sizeBytes, isText(bytes)), bases: [] as Base[], hits: 0 };
    for (let bits = MIN_BITS; bits <= MAX_BITS; bits++) {
      if (!this.#store.chunkLists.hasHooks(bits)) continue;
      const cutting = cuttingOf(bits);
      const bases = new Set<Base>();
      let hits = 0;
      const differ = new Differ(cutting, bytes.length, [], (mark) => {
        const base = this.find(mark, bits);
        if (base !== null) hits++, bases.add(base);
        return null;
      });
      for (const runs of [differ.push(bytes), differ.finish()]) for (const _ of runs);
      if (hits > best.hits) best = { cutting, bases: [...bases], hits };
    }
    this.#misses = 0;
    return best;
  }

  /** Content of the peer that has a chunk like this one; `null` when there is none, or the chunk is none to be looked up by. */
  find(mark: ChunkMark, averageBits: number): Base | null {
    if (this.#misses >= MAX_MISSES || !isHook(mark, averageBits)) return null;
    for (const hash of this.#store.chunkLists.withHook(averageBits, crcOf(mark))) {
      const base = this.#baseOf(hash);
      if (base === null) continue;
      this.#misses = 0;
      return base;
    }
    this.#misses++;
    return null;
  }

  /** The peer says that it does not have this content. */
  exclude(hash: string): void {
    this.#known.set(hash, null);
  }

  #baseOf(hash: string): Base | null {
    const known = this.#known.get(hash);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_BASES) return null;
    const held = this.#store.acked.withHash(this.#peer, hash).length > 0;
    const bytes = held ? this.#store.chunkLists.get(hash) : null;
    const chunks = bytes === null ? null : ChunkList.parse(bytes);
    const base = chunks === null || chunks.count === 0 ? null : { hash, chunks };
    this.#known.set(hash, base);
    return base;
  }
}

/** Whether content looks like something that people edit: then it is cut more finely. */
function isText(bytes: Uint8Array): boolean {
  const middle = Math.floor(bytes.length / 2);
  const sample = bytes.subarray(middle, middle + SAMPLE_BYTES);
  return gzipSync(sample, { level: 1 }).length < sample.length * TEXT;
}
