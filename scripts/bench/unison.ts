import { join } from "node:path";
import { freePort } from "../support/free_port.ts";
import { until } from "../support/until.ts";
import type { CommandTool } from "./command_tool.ts";
import { runCommand } from "./run_command.ts";
import { ServerProcess } from "./server_process.ts";
import type { Wire } from "./wire.ts";

/** No questions, times kept, permissions left alone (each side's own umask would make a difference of every file). */
const FLAGS = ["-ui", "text", "-batch", "-auto", "-perms", "0", "-times", "-confirmbigdel=false", "-silent"];

/** Unison with a Unison server on loopback; each side has archives of its own, as on two machines. */
export async function makeUnison(folder: string, wire: Wire | null): Promise<CommandTool> {
  const target = join(folder, "target");
  const side = (name: "sender" | "receiver") => {
    const archives = join(folder, name);
    Deno.mkdirSync(archives, { recursive: true });
    return { UNISON: archives, UNISONLOCALHOSTNAME: name };
  };
  Deno.mkdirSync(target, { recursive: true });
  const port = freePort();
  const server = new ServerProcess(
    ["unison", "-socket", String(port), "-listen", "127.0.0.1"],
    join(folder, "log"),
    side("receiver"),
  );
  const url = `socket://127.0.0.1:${await wire?.through(port) ?? port}/${target}/`;
  const env = side("sender");
  let killed = false;
  return {
    target,
    bring: (source, name, ...flags) => {
      // A side that was killed leaves its archives locked.
      const unlock = killed ? ["-ignorelocks"] : [];
      return runCommand("unison", [source, url + name, ...FLAGS, ...unlock, ...flags], { env });
    },
    mirrorFlags: [],
    killServer: () => {
      killed = true;
      return server.end("SIGKILL");
    },
    startServer: async () => {
      server.start();
      await until("the Unison server", () => server.output().includes("server started"));
    },
    stop: () => server.end("SIGTERM"),
  };
}
