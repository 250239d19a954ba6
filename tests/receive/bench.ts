import type { PeerEvent } from "../../src/domain/events.ts";
import type { Operation } from "../../src/domain/header.ts";
import type { FileTree } from "../../src/domain/ports.ts";
import { HOME_TRASH } from "../../src/domain/relative_path.ts";
import { Link } from "../../src/link/link.ts";
import type { Outcome } from "../../src/receive/committer.ts";
import { Receiver } from "../../src/receive/receiver.ts";
import type { TrashLimits } from "../../src/receive/trash.ts";
import { Store } from "../../src/store/store.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import type { Extension } from "../../src/wire/hello.ts";
import type { JsonObject } from "../helpers/json.ts";
import { operation } from "../helpers/plain_client.ts";
import { eventually } from "../helpers/eventually.ts";
import { type Remains, VolatileTree } from "./volatile_tree.ts";
import { assertAtRest, connectionPair, FarEnd, helloOf, HookedTree, tempFolder } from "./support.ts";

/** A peer that the receiver knows. */
export interface KnownPeer {
  readonly number: number;
  readonly name: string;
}

/** A receiver on a real folder and a real database. */
export class ReceiveBench implements AsyncDisposable {
  readonly events: PeerEvent[] = [];
  readonly damaged: string[] = [];
  readonly received: { readonly operation: Operation; readonly outcome: Outcome }[] = [];
  readonly clock = new MortalClock();
  readonly random = new SystemRandom();
  readonly anna: KnownPeer;
  readonly bert: KnownPeer;
  readonly #ends: FarEnd[] = [];
  readonly #links = new Map<FarEnd, Link>();

  private constructor(
    readonly folder: string,
    readonly store: Store,
    readonly disk: VolatileTree,
    readonly tree: HookedTree,
    readonly removeFolder: (() => Promise<void>) | null,
  ) {
    this.anna = this.#peer("anna");
    this.bert = this.#peer("bert");
  }

  receiver!: Receiver;
  /** For the next receiver that is opened. */
  quotaBytes: number | null = null;
  trash: TrashLimits | null = { days: 30, bytes: 1e9 };

  get synced(): string {
    return `${this.folder}/synced`;
  }

  #peer(name: string): KnownPeer {
    return this.store.peers.add({
      name,
      fingerprint: name.padEnd(64, "0"),
      certificatePem: name,
      address: null,
      addedMs: 0,
    });
  }

  static async open(quotaBytes: number | null = null): Promise<ReceiveBench> {
    const temp = await tempFolder();
    await Deno.mkdir(`${temp.path}/synced`);
    return await ReceiveBench.#on(temp.path, quotaBytes, async () => await temp[Symbol.asyncDispose]());
  }

  static async #on(
    folder: string,
    quotaBytes: number | null,
    removeFolder: (() => Promise<void>) | null,
    before?: HookedTree["before"],
  ): Promise<ReceiveBench> {
    const disk = new VolatileTree(`${folder}/synced`, { path: HOME_TRASH, at: `${folder}/trash` });
    const tree = new HookedTree(disk);
    const bench = new ReceiveBench(folder, new Store(`${folder}/db.sqlite`), disk, tree, removeFolder);
    bench.quotaBytes = quotaBytes;
    if (before !== undefined) tree.before = before;
    bench.receiver = await bench.openReceiver(tree);
    return bench;
  }

  openReceiver(tree: FileTree): Promise<Receiver> {
    return Receiver.open({
      tree,
      store: this.store,
      clock: this.clock,
      random: this.random,
      system: "unix",
      quotaBytes: this.quotaBytes,
      trash: this.trash,
      onEvent: (event) => this.events.push(event),
      onReceived: (_peer, operation, outcome) => this.received.push({ operation, outcome }),
      onRefused: () => {},
      onDamage: (_peer, path) => this.damaged.push(path),
    });
  }

  /**
   * Another process on the same folder and database: the one before has died.
   *
   * @param before Is told of each call into the file system from its start on.
   */
  async restarted(quotaBytes = this.quotaBytes, before?: HookedTree["before"]): Promise<ReceiveBench> {
    this.clock.die();
    this.store[Symbol.dispose]();
    return await ReceiveBench.#on(this.folder, quotaBytes, null, before);
  }

  /** Another process after the power was cut. */
  async rebooted(remains: Remains, before?: HookedTree["before"]): Promise<ReceiveBench> {
    this.clock.die();
    await this.disk.cutPower(remains);
    return await this.restarted(this.quotaBytes, before);
  }

  /** A full link from a peer; with no extensions one without hello. */
  link(peer: KnownPeer = this.anna, extensions?: readonly Extension[] | null): FarEnd {
    const [far, near] = connectionPair(peer.name, "me");
    const link = new Link({ connection: near, peer, clock: this.clock, random: this.random });
    if (extensions !== null) {
      const hello = helloOf(peer.name, extensions === undefined ? {} : { extensions });
      link.becomeFull(hello, helloOf("me"));
    }
    void link.serve((l, header, content) => this.receiver.onFrame(l, header, content))
      .then((error) => link.close(error ?? new Error("ended") as never));
    const end = new FarEnd(far);
    this.#ends.push(end);
    this.#links.set(end, link);
    return end;
  }

  /** The link of a far end is lost, and what it brought is done with. */
  async cut(end: FarEnd): Promise<void> {
    end.close();
    const link = this.#links.get(end)!;
    await link.closed;
    await this.receiver.release(link);
  }

  /** Waits until nothing is being committed and the staging folder has gone. */
  async rest(): Promise<void> {
    await eventually("the receiver rests", async () => {
      if (this.receiver.busy) throw new Error("busy");
      await assertAtRest(this.synced);
    }, { deadlineMs: 3000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) end.close();
    this.clock.die();
    this.store[Symbol.dispose]();
    await this.removeFolder?.();
  }
}

/** A clock whose process can end: nothing that is due later happens. */
class MortalClock extends SystemClock {
  readonly #cancels = new Set<() => void>();

  override after(delayMs: number, callback: () => void): () => void {
    const cancel = super.after(delayMs, () => {
      this.#cancels.delete(cancel);
      callback();
    });
    this.#cancels.add(cancel);
    return () => {
      this.#cancels.delete(cancel);
      cancel();
    };
  }

  die(): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
  }
}

/** The header of a folder's operation. */
export function folder(action: "create" | "delete", path: string): JsonObject & { readonly id: string } {
  return operation(action, path, "", { kind: "folder", hash: "", size: 0 });
}
