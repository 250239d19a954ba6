import assert from "node:assert/strict";
import type { PeerEvent } from "../../src/domain/events.ts";
import { isUnknown, type Observation } from "../../src/domain/observation.ts";
import type { Folding } from "../../src/domain/plan.ts";
import type { Clock } from "../../src/domain/ports.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { Link } from "../../src/link/link.ts";
import { noteChanges, type ObservedChange } from "../../src/send/pending_plan.ts";
import { Sender } from "../../src/send/sender.ts";
import { Store } from "../../src/store/store.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import type { Extension } from "../../src/wire/hello.ts";
import { eventually } from "../helpers/eventually.ts";
import type { JsonObject } from "../helpers/json.ts";
import { put } from "../helpers/tree.ts";
import { connectionPair, FarEnd, type Frame, helloOf, HookedTree, tempFolder } from "../receive/support.ts";

/** Everything but `tree`: a link on which sending begins at once. */
export const NO_TREE: readonly Extension[] = ["pipelining", "folders", "modes", "offer", "pieces", "credit"];

/** What the far end answers to a frame: further fields of the reply, `null` for no answer at all. */
export type Answer = (frame: Frame) => JsonObject | null;

/** How the link of a sender is made. */
export interface LinkOptions {
  /** `null`: a peer that knows only the plain protocol. */
  readonly extensions?: readonly Extension[] | null;
  readonly folding?: Folding;
}

/** A sender on a real folder and a real database, with the far end of its link in the hands of the test. */
export class SendBench implements AsyncDisposable {
  readonly events: PeerEvent[] = [];
  readonly lookedAgain: string[] = [];
  /** What the far end answers; ok by default. */
  answer: Answer = ({ header }) => header.action === "piece" ? null : { status: "ok" };
  readonly store: Store;
  readonly tree: HookedTree;
  readonly sender: Sender;
  readonly peer: number;
  far!: FarEnd;
  link!: Link;
  readonly #removeFolder: () => PromiseLike<void>;

  private constructor(readonly folder: string, readonly clock: Clock, removeFolder: () => PromiseLike<void>) {
    this.store = new Store(`${folder}/db.sqlite`);
    this.tree = new HookedTree(new DiskTree(this.watched));
    this.#removeFolder = removeFolder;
    this.peer = this.store.peers.add({
      name: "bert",
      fingerprint: "b".repeat(64),
      certificatePem: "",
      address: null,
      addedMs: 0,
    }).number;
    this.sender = new Sender({
      peer: { number: this.peer, name: "bert" },
      store: this.store,
      tree: this.tree,
      clock,
      random: new SystemRandom(),
      name: "anna",
      hasModes: true,
      onEvent: (event) => this.events.push(event),
      lookAgain: (path) => this.lookedAgain.push(path),
      onProgress: () => {},
      scanning: () => false,
    });
  }

  static async open(clock: Clock = new SystemClock()): Promise<SendBench> {
    const temp = await tempFolder();
    await Deno.mkdir(`${temp.path}/watched`);
    return new SendBench(temp.path, clock, () => temp[Symbol.asyncDispose]());
  }

  get watched(): string {
    return `${this.folder}/watched`;
  }

  /** Attaches the sender to a new link whose far end answers by {@linkcode answer}. */
  attach(options: LinkOptions = {}): void {
    const [near, far] = connectionPair("anna", "bert");
    const end: FarEnd = new FarEnd(far, (frame) => {
      const reply = this.answer(frame);
      if (reply !== null && typeof frame.header.id === "string") {
        void end.send({ id: frame.header.id, ...reply }).catch(() => {});
      }
    });
    this.far = end;
    this.join(
      new Link({
        connection: near,
        peer: { number: this.peer, name: "bert" },
        clock: this.clock,
        random: new SystemRandom(),
      }),
      options,
    );
  }

  join(link: Link, options: LinkOptions = {}): void {
    const extensions = options.extensions === undefined ? NO_TREE : options.extensions;
    if (extensions !== null) {
      const theirs = helloOf("bert", {
        extensions,
        ...(options.folding === undefined ? {} : { folding: options.folding }),
      });
      link.becomeFull(theirs, helloOf("anna"));
    }
    void link.serve(async (_link, header, content) => {
      if (header["action"] === "resume") await this.sender.resume(header, content);
    }).then((error) => link.close(error ?? new Error("ended") as never));
    this.link = link;
    this.sender.attach(link);
  }

  write(path: string, content: string | Uint8Array): Promise<void> {
    return put(`${this.watched}/${path}`, content);
  }

  /** What a look at each of the paths shows, recorded and noted as the observer would. */
  async observe(...paths: string[]): Promise<void> {
    const changes: ObservedChange[] = [];
    for (const text of paths) {
      const path = text as RelativePath;
      const before = this.store.observed.get(path);
      const after = await this.#look(path);
      const movedFrom = after === null || before !== null
        ? null
        : this.store.observed.otherOf(after, path)?.path ?? null;
      changes.push({ path, before, after, movedFrom });
    }
    const creations = this.store.transaction(() => {
      for (const { path, after } of changes) {
        if (after === null) this.store.observed.remove(path);
        else this.store.observed.put(after);
      }
      return noteChanges(this.store, [this.peer], changes, this.clock.now());
    });
    this.sender.note(changes.map(({ path }) => path), creations.get(this.peer));
  }

  async #look(path: RelativePath): Promise<Observation | null> {
    const stat = await this.tree.lstat(path);
    if (stat === null || (stat.kind !== "file" && stat.kind !== "folder")) return null;
    const { kind, sizeBytes, mtimeMs, ctimeMs, inode, device, executable } = stat;
    return {
      path,
      diskPath: path,
      kind,
      sizeBytes,
      mtimeMs,
      ctimeMs,
      inode,
      device,
      executable: executable ?? false,
      hash: null,
      provisional: false,
      held: null,
    };
  }

  /** The operations that have come to the far end, as `action path`, in their order. */
  get operations(): string[] {
    return this.far.frames.filter(({ header }) =>
      ["create", "update", "delete"].includes(String(header.action))
    )
      .map(({ header }) => `${header.action} ${header.path}${header.kind === "folder" ? "/" : ""}`);
  }

  row(path: string) {
    return this.store.pending.get(this.peer, path as RelativePath);
  }

  /** What the peer has said that it has. */
  acked(path: string) {
    const state = this.store.acked.get(this.peer, path as RelativePath);
    return state === null || isUnknown(state) ? null : state;
  }

  /** Waits until nothing is pending. */
  async inSync(): Promise<void> {
    await eventually("everything is acknowledged", () => {
      const left = this.store.pending.list(this.peer).map(({ path, action, code, reason }) =>
        `${action} ${path} ${code} ${reason}`
      );
      assert.deepEqual(left, []);
      assert.equal(this.sender.inSync, true);
    }, { deadlineMs: 8000, everyMs: 5 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sender.stop();
    this.far?.close();
    this.store[Symbol.dispose]();
    await this.#removeFolder();
  }
}
