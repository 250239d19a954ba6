import { join } from "node:path";
import { freePort } from "../support/free_port.ts";
import { sleep } from "../support/until.ts";
import type { CommandTool } from "./command_tool.ts";
import { runCommand } from "./run_command.ts";
import { ServerProcess } from "./server_process.ts";
import type { Wire } from "./wire.ts";

/** An rsync daemon on loopback, and `rsync -a` that pushes to it: by its delta algorithm, as a daemon is another machine. */
export async function makeRsync(folder: string, wire: Wire | null): Promise<CommandTool> {
  const target = join(folder, "target");
  Deno.mkdirSync(target, { recursive: true });
  const port = freePort();
  const config = join(folder, "rsyncd.conf");
  // As root the daemon would go on as nobody, who may not write here.
  const user = Deno.uid() === 0 ? ["uid = root", "gid = root"] : [];
  Deno.writeTextFileSync(
    config,
    [
      ...user,
      ...["use chroot = no", `port = ${port}`, "address = 127.0.0.1"],
      ...["[bench]", `path = ${target}`, "read only = no", ""],
    ].join("\n"),
  );
  const server = new ServerProcess(
    ["rsync", "--daemon", "--no-detach", `--config=${config}`],
    join(folder, "log"),
  );
  const url = `rsync://127.0.0.1:${await wire?.through(port) ?? port}/bench/`;
  return {
    target,
    bring: (source, name, ...flags) => runCommand("rsync", ["-a", ...flags, source + "/", `${url}${name}/`]),
    mirrorFlags: ["--delete", "--partial"],
    killServer: () => server.end("SIGKILL"),
    startServer: async () => {
      server.start();
      await untilAnswers(port);
    },
    stop: () => server.end("SIGTERM"),
  };
}

async function untilAnswers(port: number): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (attempt === 100) throw new Error("the rsync daemon does not answer", { cause: error });
      await sleep(50);
    }
  }
}
