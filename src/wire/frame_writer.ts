import { encodeFrame, encodeFrameHead } from "./frame.ts";

/** Who goes first when several frames wait: replies and keep-alive, then small operations, then pieces of large files. */
export type Lane = "control" | "small" | "bulk";

/** Small frames are joined into writes of about this size: TLS and the system are called once for many of them. */
const BATCH_BYTES = 256 * 1024;

/** Contents above this are written from the caller's buffer instead of being copied behind their header. */
const COPY_LIMIT_BYTES = 64 * 1024;

interface Waiting {
  readonly header: object;
  readonly content: Uint8Array | null;
  /** Content that is made while it is written, instead of `content`. */
  readonly stream: { readonly contentBytes: number; readonly source: AsyncIterable<Uint8Array> } | null;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Puts frames onto a byte stream, the lanes in their order and each lane first in, first out. A bulk frame goes only when
 * nothing else waits, and only one at a time, so that a small save never waits behind more than one piece.
 */
export class FrameWriter {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #lanes: Record<Lane, Waiting[]> = { control: [], small: [], bulk: [] };
  #pumping = false;
  #pumped: Promise<void> = Promise.resolve();
  #broken: unknown = null;
  #bytesWritten = 0;

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Queues a frame; resolves when it was handed to the stream. The content must not be changed until then. */
  send(lane: Lane, header: object, content: Uint8Array | null = null): Promise<void> {
    return new Promise((done, failed) => this.#queue(lane, { header, content, stream: null, done, failed }));
  }

  /** Queues a frame whose going out nobody waits for; `failed` is told if it cannot. The content must not be changed any more. */
  post(lane: Lane, header: object, content: Uint8Array | null, failed: (error: unknown) => void): void {
    this.#queue(lane, { header, content, stream: null, done: ignore, failed });
  }

  /**
   * Queues a bulk frame whose content comes from `source` while it is written; no other frame goes out in between.
   *
   * @throws {RangeError} when the source gives another number of bytes: the stream is then broken in the middle of a frame.
   */
  stream(header: object, contentBytes: number, source: AsyncIterable<Uint8Array>): Promise<void> {
    const stream = { contentBytes, source };
    return new Promise((done, failed) =>
      this.#queue("bulk", { header, content: null, stream, done, failed })
    );
  }

  #queue(lane: Lane, waiting: Waiting): void {
    if (this.#broken !== null) return waiting.failed(this.#broken);
    this.#lanes[lane].push(waiting);
    if (this.#pumping) return;
    this.#pumping = true;
    // After the current turn, so that frames queued together travel together.
    this.#pumped = Promise.resolve().then(() => this.#pump());
  }

  /** Resolves when all that was queued before was handed to the stream (or failed). */
  async idle(): Promise<void> {
    while (this.#pumping) await this.#pumped;
  }

  /** Fails what waits and everything after it. */
  break(error: unknown): void {
    this.#broken ??= error;
    for (const lane of Object.values(this.#lanes)) {
      for (const waiting of lane.splice(0)) waiting.failed(this.#broken);
    }
  }

  async #pump(): Promise<void> {
    while (this.#broken === null) {
      const batch = this.#nextBatch();
      if (batch.length === 0) break;
      try {
        await this.#writeBatch(batch);
        for (const waiting of batch) waiting.done();
      } catch (error) {
        for (const waiting of batch) waiting.failed(error);
        this.break(error);
      }
    }
    this.#pumping = false;
  }

  #nextBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let bytes = 0;
    for (const lane of [this.#lanes.control, this.#lanes.small]) {
      let taken = 0;
      while (taken < lane.length && bytes < BATCH_BYTES) bytes += (lane[taken++]!.content?.length ?? 0) + 400;
      if (taken > 0) batch.push(...lane.splice(0, taken));
    }
    if (batch.length === 0) {
      const piece = this.#lanes.bulk.shift();
      if (piece !== undefined) batch.push(piece);
    }
    return batch;
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    let parts: Uint8Array[] = [];
    const flush = async () => {
      if (parts.length === 0) return;
      const joined = parts.length === 1 ? parts[0]! : join(parts);
      parts = [];
      this.#bytesWritten += joined.length;
      await this.#write(joined);
    };
    for (const { header, content, stream } of batch) {
      if (stream !== null) {
        parts.push(encodeFrameHead(header, stream.contentBytes));
        await flush();
        await this.#writeStream(stream);
        continue;
      }
      if (content === null || content.length <= COPY_LIMIT_BYTES) {
        parts.push(encodeFrame(header, content));
        continue;
      }
      parts.push(encodeFrameHead(header, content.length));
      await flush();
      this.#bytesWritten += content.length;
      await this.#write(content);
    }
    await flush();
  }

  async #writeStream({ contentBytes, source }: NonNullable<Waiting["stream"]>): Promise<void> {
    let left = contentBytes;
    for await (const part of source) {
      left -= part.length;
      if (left < 0) break;
      this.#bytesWritten += part.length;
      await this.#write(part);
    }
    if (left !== 0) throw new RangeError("a content that was being sent changed its length");
  }
}

function ignore(): void {}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
