import { createHash } from "node:crypto";
import type { Operation, RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Clock, FileTree } from "../domain/ports.ts";
import { checkNameOn, parseRelativePath } from "../domain/relative_path.ts";
import type { TransferStatus } from "../domain/status.ts";
import { FRAME_COST_BYTES } from "../link/credit.ts";
import { checkHash } from "./check_hash.ts";
import { type Outcome, toOutcome } from "./committer.ts";
import type { Staged, Staging } from "./staging.ts";

/** Written bytes after which they are flushed behind the transfer's back, so that the last flush finds little to do. */
const FLUSH_EVERY_BYTES = 64 * 1024 * 1024;

/** A large file that comes in pieces, in order, into the staging folder. */
export class Transfer {
  readonly #header: RawHeader;
  readonly #tree: FileTree;
  readonly #startedMs: number;
  readonly #staging: Staging;
  readonly #hash = createHash("sha256");
  #staged: Staged | null = null;
  /** Bytes that came, and bytes of them that are written. */
  #taken = 0;
  #written = 0;
  #unflushed = 0;
  #frames = 0;
  /** The writes, one after the other. Never rejects: the first failure is kept. */
  #writing: Promise<void> = Promise.resolve();
  #failure: (Outcome & { status: "error" }) | null = null;

  constructor(parts: { header: RawHeader; tree: FileTree; staging: Staging; clock: Clock }) {
    this.#header = parts.header;
    this.#tree = parts.tree;
    this.#startedMs = parts.clock.now();
    this.#staging = parts.staging;
  }

  /** The size that the first piece has announced; a hint, for progress and for the room on the disk. */
  get sizeBytes(): number {
    const size = this.#header["size"];
    return typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : 0;
  }

  /** Why it is refused; `null` while nothing is wrong. */
  get failure(): (Outcome & { status: "error" }) | null {
    return this.#failure;
  }

  get wireBytes(): number {
    return this.#taken + this.#frames * FRAME_COST_BYTES;
  }

  /** Checks what the first piece says, so that a file that will be refused does not travel first. */
  checkFirst(system: "windows" | "unix"): void {
    const path = this.#header["path"];
    if (typeof path !== "string") {
      throw new MirrorError("bad_header", 'the field "path" is missing or not a string');
    }
    checkNameOn(system, parseRelativePath(path));
  }

  fail(error: unknown): void {
    this.#failure ??= toOutcome(error);
  }

  /** Queues a piece to be written; `taken` is called when it was, or when it is not wanted. */
  take(offset: unknown, bytes: Uint8Array, taken: () => void): void {
    this.#frames++;
    if (offset !== this.#taken) {
      this.fail(new MirrorError("bad_content", "a piece is missing or came twice"));
      return taken();
    }
    this.#taken += bytes.length;
    this.#writing = this.#writing.then(async () => {
      try {
        if (this.#failure !== null) return;
        this.#staged ??= await this.#staging.create();
        this.#hash.update(bytes);
        await this.#staged.handle.write(bytes);
        this.#written += bytes.length;
        this.#unflushed += bytes.length;
        if (this.#unflushed >= FLUSH_EVERY_BYTES) {
          this.#unflushed = 0;
          // The final flush of the commit is the one that counts, and reports a failure.
          this.#staged.handle.flush().catch(() => {});
        }
      } catch (error) {
        this.fail(error);
      } finally {
        taken();
      }
    });
  }

  /**
   * All pieces were sent: waits until they are written, and checks them against the operation.
   *
   * @throws {MirrorError} what went wrong on the way, or `bad_content` or `hash_mismatch`.
   */
  async finish(operation: Operation): Promise<Staged> {
    await this.#writing;
    if (this.#failure !== null) throw new MirrorError(this.#failure.code, this.#failure.message);
    if (this.#taken !== operation.sizeBytes || this.#staged === null) {
      throw new MirrorError(
        "bad_content",
        `${this.#taken} bytes came in pieces, the header says ${operation.sizeBytes}`,
      );
    }
    checkHash(operation, this.#hash.digest("hex"));
    return this.#staged;
  }

  /** Gives up: what was staged goes. */
  async discard(): Promise<void> {
    this.fail(new MirrorError("link_closed", "the transfer was given up"));
    await this.#writing;
    const staged = this.#staged;
    this.#staged = null;
    if (staged === null) return;
    staged.handle.close();
    if (await this.#tree.lstat(staged.path) !== null) await this.#tree.unlink(staged.path);
  }

  status(peer: string): TransferStatus {
    return {
      direction: "receiving",
      peer,
      path: typeof this.#header["path"] === "string" ? this.#header["path"] : "?",
      doneBytes: this.#written,
      sizeBytes: this.sizeBytes,
      startedMs: this.#startedMs,
    };
  }
}
