import { ChunkList } from "../chunks/chunk_list.ts";
import { idOf, type RawHeader } from "../domain/header.ts";
import { codeOf, messageOf, MirrorError } from "../domain/mirror_error.ts";
import { type Clock, FileError, type FileTree, type Random } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Link } from "../link/link.ts";
import type { Store } from "../store/store.ts";
import { answerChunks, answerFetch } from "../verify/answers.ts";
import { ask, jsonContent, parseDamaged, parsePaths, toContent } from "../verify/exchange.ts";
import { keepDamagedList } from "../verify/known_chunks.ts";
import { sweepMends } from "../verify/mend.ts";
import { bytesToRead, readHere } from "../verify/read_side.ts";
import { repairHere } from "../verify/repair_here.ts";
import { readVerifyFact, VERIFY_FACTS, type VerifyFact, type VerifyProgress } from "../verify/result.ts";
import type { FrameReader } from "../wire/frame_reader.ts";
import { VerifyTask } from "./verify_task.ts";

/** A trusted peer, as far as verifying goes. */
export interface VerifyPartner {
  readonly peer: { readonly number: number; readonly name: string };
  readonly link: Link | null;
  /** Compares what we believe that it holds with what it holds: at how many paths that differed. */
  readonly compare: () => Promise<number | null>;
}

export interface VerificationParts {
  readonly store: Store;
  readonly watched: FileTree;
  readonly synced: FileTree;
  readonly clock: Clock;
  readonly random: Random;
  /** Runs work while nothing is being committed to `synced/`. */
  readonly exclusive: <T>(work: () => Promise<T>) => Promise<T>;
  readonly partners: () => readonly VerifyPartner[];
  /** Bytes of the large files that are on their way: it changes while they get on. */
  readonly transferred: () => number;
  readonly onProblem: (message: string) => void;
}

/** Questions for chunks and bytes of one link that are being answered at a time. */
const MAX_LIGHT = 4;
/** How often whoever has asked is told how far the reading has come. */
const PROGRESS_MS = 500;

/**
 * Verifying, in a running peer: answers what other peers ask about it (PROTOCOL.md, `verify`), and does what `mirrorsync verify` asks
 * for through the database.
 */
export class Verification {
  readonly #parts: VerificationParts;
  /** Links whose reading, repairing or comparing is under way. */
  readonly #heavy = new Set<Link>();
  readonly #light = new Map<Link, number>();
  /** Whoever waits for progress, by the id of the request. */
  readonly #onProgress = new Map<string, (progress: RawHeader) => void>();
  readonly #working = new Set<Promise<void>>();
  #task: { readonly key: string; readonly progress: () => VerifyProgress; stopped: boolean } | null = null;
  #stopped = false;

  constructor(parts: VerificationParts) {
    this.#parts = parts;
    // What an earlier process was asked for, nobody waits for any more.
    for (const key of parts.store.facts.keys(VERIFY_FACTS)) parts.store.facts.remove(key);
    this.#track(
      sweepMends(parts.watched).catch((error) => {
        if (!(error instanceof FileError)) throw error;
        parts.onProblem(`what a repair left in watched/ could not be removed: ${error.message}`);
      }),
    );
  }

  /** Ends what is under way as soon as can be. */
  stop(): void {
    this.#stopped = true;
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch((error) => this.#parts.onProblem(`verifying failed: ${messageOf(error)}`))
      .finally(() => this.#working.delete(tracked));
    this.#working.add(tracked);
  }

  /** Takes a frame of the extension; tells whether it was one. */
  async takes(link: Link, header: RawHeader, content: FrameReader): Promise<boolean> {
    const { store, watched, synced, clock } = this.#parts;
    const peer = link.peer.number;
    const stopped = () => this.#stopped || link.isClosed;
    switch (header["action"]) {
      case "verify_progress":
        this.#onProgress.get(idOf(header) ?? "")?.(header);
        return true;
      case "fetch":
        this.#answerLight(link, header, () => answerFetch({ store, synced }, peer, header));
        return true;
      case "chunks":
        this.#answerLight(
          link,
          header,
          () => answerChunks({ store, watched, synced, clock }, peer, header, stopped),
        );
        return true;
      case "verify":
      case "repair":
      case "compare":
        await this.#takeHeavy(link, header, content, stopped);
        return true;
      default:
        return false;
    }
  }

  #answerLight(link: Link, header: RawHeader, work: () => Promise<Uint8Array>): void {
    const id = idOf(header);
    if (id === null) return link.refuse(null, "bad_header", 'the field "id" is missing');
    const busy = this.#light.get(link) ?? 0;
    if (busy >= MAX_LIGHT) return link.refuse(id, "not_accepting", "several of these are being answered");
    this.#light.set(link, busy + 1);
    this.#track((async () => {
      try {
        const bytes = await work();
        // Behind everything else, as large files are; the next is answered when this one is out.
        await link.notify("bulk", { status: "ok", id }, bytes);
      } catch (error) {
        refuse(link, id, error);
      } finally {
        const left = (this.#light.get(link) ?? 1) - 1;
        if (left > 0) this.#light.set(link, left);
        else this.#light.delete(link);
      }
    })());
  }

  async #takeHeavy(
    link: Link,
    header: RawHeader,
    content: FrameReader,
    stopped: () => boolean,
  ): Promise<void> {
    const id = idOf(header);
    if (id === null) return link.refuse(null, "bad_header", 'the field "id" is missing');
    if (this.#heavy.has(link)) return link.refuse(id, "not_accepting", "another one is under way");
    let value: unknown;
    let work: () => Promise<{ readonly fields?: object; readonly value?: unknown }>;
    try {
      value = await jsonContent(content);
      work = this.#heavyWork(link, id, header, value, stopped);
    } catch (error) {
      if (link.isClosed) throw error;
      return refuse(link, id, error);
    }
    this.#heavy.add(link);
    this.#track((async () => {
      try {
        const { fields, value } = await work();
        if (stopped()) return;
        link.reply({ status: "ok", id, ...fields }, value === undefined ? null : toContent(value));
      } catch (error) {
        refuse(link, id, error);
      } finally {
        this.#heavy.delete(link);
      }
    })());
  }

  /** @throws {MirrorError} when the content is not what it should be. */
  #heavyWork(link: Link, id: string, header: RawHeader, value: unknown, stopped: () => boolean) {
    const { store } = this.#parts;
    const peer = link.peer.number;
    if (header["action"] === "compare") {
      const damaged = parseDamaged(value);
      return async () => {
        for (const version of damaged) keepDamagedList(store, peer, version, this.#parts.clock.now());
        const partner = this.#parts.partners().find((each) => each.link === link);
        const differences = await partner?.compare() ?? null;
        if (differences === null) throw new MirrorError("failed", "the trees could not be compared");
        return { fields: { differences } };
      };
    }
    const paths = parsePaths(value);
    if (header["action"] === "repair") {
      return async () => ({
        value: await repairHere(this.repairParts(link, stopped), peer, paths ?? { watched: [], synced: [] }),
      });
    }
    const of = paths === null ? bytesToRead(store) : 0;
    let toldMs = this.#parts.clock.monotonic();
    return async () => ({
      value: await readHere({
        ...this.#parts,
        stopped,
        listFor: this.listFor([link]),
        onProgress: ({ files, bytes }) => {
          const now = this.#parts.clock.monotonic();
          if (now - toldMs < PROGRESS_MS) return;
          toldMs = now;
          link.reply({ action: "verify_progress", id, files, bytes, of });
        },
      }, { peers: [peer], paths }),
    });
  }

  /** All that a repair with the help of one peer needs. */
  repairParts(link: Link, stopped: () => boolean) {
    const { random } = this.#parts;
    return {
      ...this.#parts,
      stopped,
      listFor: this.listFor([link]),
      fetch: async (path: RelativePath, offset: number, length: number) => {
        const reply = await ask(link, { id: random.uuid(), action: "fetch", path, offset, length });
        return reply.content;
      },
    };
  }

  /** Finds out how a version was cut: from what is remembered here, or from one of the peers. */
  listFor(links: readonly Link[]): (hash: string) => Promise<ChunkList | null> {
    const { store, random } = this.#parts;
    return async (hash) => {
      const kept = store.chunkLists.get(hash);
      const known = kept === null ? null : ChunkList.parse(kept);
      if (known !== null) return known;
      for (const link of links) {
        try {
          const { content } = await ask(link, { id: random.uuid(), action: "chunks", hash });
          const list = ChunkList.parse(content);
          if (list !== null) return list;
        } catch (error) {
          // Without a list the whole file is taken for damaged, and another peer may know one.
          if (!(error instanceof MirrorError)) throw error;
        }
      }
      return null;
    };
  }

  /** Tells of the progress of a request of ours, until the returned function is called. */
  follow(id: string, onProgress: (progress: RawHeader) => void): () => void {
    this.#onProgress.set(id, onProgress);
    return () => this.#onProgress.delete(id);
  }

  /** Looks whether a command has asked for something, and tells how far it has come. */
  poll(): void {
    if (this.#stopped) return;
    const { facts } = this.#parts.store;
    const task = this.#task;
    if (task !== null) {
      // The command has gone, and with it the wish.
      if (facts.get(task.key) === null) task.stopped = true;
      else facts.set(task.key, { state: "running", progress: task.progress() } satisfies VerifyFact);
      return;
    }
    for (const key of facts.keys(VERIFY_FACTS)) {
      const fact = readVerifyFact(facts.get(key));
      if (fact?.state === "asked") return this.#start(key, fact.repair);
    }
  }

  #start(key: string, repair: boolean): void {
    const { facts } = this.#parts.store;
    const task = new VerifyTask(
      { ...this.#parts, verification: this, stopped: () => this.#stopped || state.stopped },
      repair,
    );
    const state = { key, progress: () => task.progress(), stopped: false };
    this.#task = state;
    this.#track((async () => {
      let fact: VerifyFact;
      try {
        fact = { state: "done", result: await task.run() };
      } catch (error) {
        fact = { state: "failed", message: messageOf(error) };
      } finally {
        this.#task = null;
      }
      if (facts.get(key) !== null) facts.set(key, fact);
    })());
  }
}

function refuse(link: Link, id: string, error: unknown): void {
  if (link.isClosed) return;
  if (error instanceof FileError) {
    return link.refuse(id, error.code === "denied" ? "no_permission" : "io_error", error.message);
  }
  link.refuse(id, codeOf(error, "failed"), messageOf(error));
}
