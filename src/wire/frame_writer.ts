import { FRAME_OVERHEAD_BYTES, MAX_HEADER_BYTES, writeFrameHead } from "./frame.ts";
import type { Pace } from "./pace.ts";

/** Who goes first when several frames wait: replies and keep-alive, then small operations, then pieces of large files. */
export type Lane = "control" | "small" | "bulk";

/** Small frames are joined into writes of about this size: TLS and the system are called once for many of them. */
const BATCH_BYTES = 256 * 1024;

/** Contents above this are written from the caller's buffer instead of being copied behind their header. */
const COPY_LIMIT_BYTES = 64 * 1024;

/** Room for a batch, and for any frame that is copied, however many bytes the characters of its header take. */
const ROOM_BYTES = FRAME_OVERHEAD_BYTES + 3 * MAX_HEADER_BYTES + COPY_LIMIT_BYTES + BATCH_BYTES / 4;

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
 *
 * With a pace, waiting comes before choosing: whatever is queued meanwhile still goes in its order. Small control frames do not
 * wait, as replies and keep-alive must always get through; they only count.
 */
export class FrameWriter {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #lanes: Record<Lane, Waiting[]> = { control: [], small: [], bulk: [] };
  #pumping = false;
  /** While a frame is being written nothing else can go. */
  #inFrame = false;
  /** Whether the next write is the first one of its batch, whose turn has come already. */
  #first = true;
  #pumped: Promise<void> = Promise.resolve();
  #broken: unknown = null;
  /** Where small frames are joined, again and again. */
  #room: Uint8Array | null = null;
  #bytesWritten = 0;
  /** Whether what is being written is more than control frames, and how much of that was written. */
  #isWork = false;
  #workBytes = 0;
  /** About so many bytes of control frames wait to be written. */
  #controlBytes = 0;
  #wakeUnread: () => void = () => {};
  /** Ends the wait for a turn that is under way. */
  #interrupt: () => void = () => {};
  /** How fast bytes may go; `null` as fast as the stream takes them. */
  pace: Pace | null = null;

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Bytes written of frames, or together with frames, that were not control. */
  get workBytes(): number {
    return this.#workBytes;
  }

  /** Resolves when no more than `maxBytes` of control frames (replies, as a rule) wait to be written, or writing is over. */
  async controlBelow(maxBytes: number): Promise<void> {
    while (this.#controlBytes > maxBytes && this.#broken === null) {
      await new Promise<void>((resolve) => this.#wakeUnread = resolve);
    }
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
    if (lane === "control") this.#controlBytes += costOf(waiting);
    if (lane === "control" && !this.#inFrame) this.#interrupt();
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
    this.#interrupt();
    this.#wakeUnread();
    for (const lane of Object.values(this.#lanes)) {
      for (const waiting of lane.splice(0)) waiting.failed(this.#broken);
    }
  }

  async #pump(): Promise<void> {
    while (this.#broken === null) {
      const open = this.pace === null || this.#isEmpty || await this.#mayGo(this.pace);
      const batch = this.#nextBatch(open);
      if (batch.length === 0) break;
      this.#inFrame = true;
      this.#first = true;
      try {
        await this.#writeBatch(batch);
        for (const waiting of batch) waiting.done();
      } catch (error) {
        for (const waiting of batch) waiting.failed(error);
        this.break(error);
      }
      this.#inFrame = false;
    }
    this.#pumping = false;
  }

  get #isEmpty(): boolean {
    return Object.values(this.#lanes).every((lane) => lane.length === 0);
  }

  /** Waits until something may go, or a control frame is there; whether it is more than a control frame that may. */
  async #mayGo(pace: Pace): Promise<boolean> {
    return this.#lanes.control.length > 0 ? pace.isOpen : await this.#turn(pace);
  }

  /** Waits for a turn; `false` when the waiting was interrupted. */
  #turn(pace: Pace): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = pace.wait(() => resolve(true));
      this.#interrupt = () => {
        cancel();
        resolve(false);
      };
    });
  }

  /** @param open Whether all lanes may go; else it is control alone. */
  #nextBatch(open: boolean): Waiting[] {
    const batch: Waiting[] = [];
    const batchBytes = Math.min(BATCH_BYTES, this.pace?.sliceBytes ?? BATCH_BYTES);
    let bytes = 0;
    for (const lane of open ? [this.#lanes.control, this.#lanes.small] : [this.#lanes.control]) {
      let taken = 0;
      let cost = 0;
      while (taken < lane.length && bytes + cost < batchBytes) cost += costOf(lane[taken++]!);
      bytes += cost;
      if (taken > 0) batch.push(...lane.splice(0, taken));
      if (lane !== this.#lanes.control) {
        this.#isWork = taken > 0;
        continue;
      }
      this.#isWork = false;
      this.#controlBytes -= cost;
      this.#wakeUnread();
    }
    if (batch.length === 0 && open) {
      const piece = this.#lanes.bulk.shift();
      if (piece !== undefined) batch.push(piece);
      this.#isWork = true;
    }
    return batch;
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const room = this.#room ??= new Uint8Array(ROOM_BYTES);
    let filled = 0;
    const flush = async () => {
      if (filled === 0) return;
      const bytes = room.subarray(0, filled);
      filled = 0;
      await this.#put(bytes);
    };
    for (const { header, content, stream } of batch) {
      const json = JSON.stringify(header);
      const contentBytes = stream?.contentBytes ?? content?.length ?? 0;
      const copied = content !== null && content.length <= COPY_LIMIT_BYTES ? content : null;
      const neededBytes = FRAME_OVERHEAD_BYTES + 3 * json.length + (copied?.length ?? 0);
      if (filled + neededBytes > room.length) await flush();
      filled += writeFrameHead(room.subarray(filled), json, contentBytes);
      if (copied !== null) {
        room.set(copied, filled);
        filled += copied.length;
      } else if (content !== null) {
        await flush();
        await this.#put(content);
      } else if (stream !== null) {
        await flush();
        await this.#writeStream(stream);
      }
    }
    await flush();
  }

  /** Writes bytes; slice by slice, each in its turn, where there is a pace. */
  async #put(bytes: Uint8Array): Promise<void> {
    const pace = this.pace;
    if (pace === null) {
      this.#count(bytes.length);
      return await this.#write(bytes);
    }
    for (let at = 0; at < bytes.length; at += pace.sliceBytes) {
      const slice = bytes.subarray(at, at + pace.sliceBytes);
      if (!this.#first && !pace.isOpen) await this.#turn(pace);
      this.#first = false;
      if (this.#broken !== null) throw this.#broken;
      this.#count(slice.length);
      pace.took(slice.length);
      await this.#write(slice);
    }
  }

  #count(bytes: number): void {
    this.#bytesWritten += bytes;
    if (this.#isWork) this.#workBytes += bytes;
  }

  async #writeStream({ contentBytes, source }: NonNullable<Waiting["stream"]>): Promise<void> {
    let left = contentBytes;
    for await (const part of source) {
      left -= part.length;
      if (left < 0) break;
      await this.#put(part);
    }
    if (left !== 0) throw new RangeError("a content that was being sent changed its length");
  }
}

function ignore(): void {}

/** About what a frame has to be written. */
function costOf({ content }: Waiting): number {
  return (content?.length ?? 0) + 400;
}
