import { join } from "node:path";
import { freePort } from "../support/free_port.ts";
import { sleep } from "../support/until.ts";

/** An rsync daemon on loopback, and `rsync -a` that pushes to it. */
export class Rsync {
  readonly #daemon: Deno.ChildProcess;
  readonly #url: string;
  readonly #target: string;
  #pushes = 0;

  private constructor(daemon: Deno.ChildProcess, url: string, target: string) {
    this.#daemon = daemon;
    this.#url = url;
    this.#target = target;
  }

  static async start(folder: string): Promise<Rsync> {
    const target = join(folder, "target");
    Deno.mkdirSync(target, { recursive: true });
    const port = freePort();
    const root = Deno.uid() === 0;
    const config = join(folder, "rsyncd.conf");
    // As root the daemon would go on as nobody, who may not write here.
    Deno.writeTextFileSync(
      config,
      [
        ...(root ? ["uid = root", "gid = root"] : []),
        ...["use chroot = no", `port = ${port}`, "address = 127.0.0.1", `pid file = ${join(folder, "pid")}`],
        ...["[bench]", `path = ${target}`, "read only = no", ""],
      ].join("\n"),
    );
    const daemon = new Deno.Command("rsync", {
      args: ["--daemon", "--no-detach", `--config=${config}`],
      ...{ stdin: "null", stdout: "null", stderr: "null" } as const,
    }).spawn();
    const rsync = new Rsync(daemon, `rsync://127.0.0.1:${port}/bench/`, target);
    for (let attempt = 0;; attempt++) {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port })).close();
        return rsync;
      } catch (error) {
        if (attempt === 100) throw new Error("the rsync daemon does not answer", { cause: error });
        await sleep(50);
      }
    }
  }

  /** Pushes what lies in `source` to a new, empty folder and gives the command's time in milliseconds. */
  async push(source: string, ...flags: string[]): Promise<number> {
    const name = String(++this.#pushes);
    Deno.mkdirSync(join(this.#target, name));
    await flushDisks();
    const since = performance.now();
    const { code, stderr } = await new Deno.Command("rsync", {
      args: ["-a", ...flags, source + "/", `${this.#url}${name}/`],
      stdin: "null",
      stdout: "null",
    }).output();
    const took = performance.now() - since;
    if (code !== 0) throw new Error(`rsync exited with ${code}: ${new TextDecoder().decode(stderr).trim()}`);
    return took;
  }

  async stop(): Promise<void> {
    try {
      this.#daemon.kill("SIGTERM");
    } catch {
      // it has ended already
    }
    await this.#daemon.status;
  }
}

/** Writes out what the system still holds back, so that one measurement does not pay for the one before. */
export async function flushDisks(): Promise<void> {
  if (Deno.build.os === "windows") return;
  await new Deno.Command("sync", { stdin: "null" }).output();
}
