import { join } from "node:path";
import { MirrorPeer } from "../support/mirror_peer.ts";
import { ROOT } from "../support/root.ts";
import { median, showMs } from "../support/text.ts";
import { hashFile } from "../support/tree.ts";
import type { Session } from "./session.ts";
import { SET, type Workload } from "./workload.ts";

const PEER = join(ROOT, "scripts/bench/floor_peer.ts");

/**
 * Part l: what the design's promises alone cost on this machine, as a ratio to rsync's time in part b: the same file is read,
 * hashed with SHA-256, sent through TLS, hashed again and written, by two processes that do nothing else. No chunks, no delta, no
 * resuming, no flush, no database.
 */
export async function benchFloor(
  session: Session,
  workload: Workload,
  program: readonly string[],
): Promise<void> {
  const all: number[] = [];
  await session.attempt("the floor", async () => {
    const peer = new MirrorPeer("floor", join(session.folder, "floor"), program);
    await peer.init();
    const source = join(workload.prepared, SET, "large.bin");
    const hash = hashFile(source);
    for (let i = 0; i < session.runs; i++) {
      all.push(await timeOnce(peer.home, source, join(peer.synced, `${i}`), hash));
      session.say(`the floor, ${workload.title}: ${showMs(all.at(-1)!)}`);
    }
  });
  if (all.length === 0) return;
  const took = median(all);
  const rsync = session.rows.find(({ part }) => part === "b")?.rsync ?? null;
  session.rows.push({
    part: "l",
    what: `${workload.title}: TLS, SHA-256 on both sides, and nothing else`,
    unit: "ms",
    ...{ MirrorSync: took, rsync, Syncthing: null, Unison: null, target: "", reached: null },
    note: `the floor of part b${rsync === null ? "" : `, ${(took / rsync).toFixed(2)}× rsync`}`,
  });
}

async function timeOnce(home: string, source: string, target: string, hash: string): Promise<number> {
  await using receiver = new Peer("receive", home, target);
  const port = await receiver.line();
  await using sender = new Peer("send", home, source, port);
  await sender.line();
  const began = performance.now();
  const arrived = await receiver.line();
  const took = performance.now() - began;
  if (arrived !== hash) throw new Error("it has arrived with another hash");
  return took;
}

/** One end, as a process. */
class Peer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #said: ReadableStreamDefaultReader<string>;

  constructor(...args: string[]) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", PEER, ...args],
      ...{ stdin: "null", stdout: "piped", stderr: "inherit" },
    }).spawn();
    this.#said = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next thing that it says. */
  async line(): Promise<string> {
    const { value } = await this.#said.read();
    if (value === undefined) throw new Error("one of the two processes ended early");
    return value.trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // it has ended
    }
    await this.#process.status;
  }
}
