import { join } from "node:path";
import { until } from "../support/until.ts";
import type { CommandTool } from "./command_tool.ts";
import { flushDisks } from "./flush_disks.ts";
import type { Change, Mirror } from "./mirror.ts";
import type { CommandName } from "./report.ts";

const DEADLINE_MS = 600_000;
const COPY = "mirror";

/** A tool that is called after each change, as a mirror: the clock runs while the command does. */
export function commandMirror(name: CommandName, tool: CommandTool, folder: string): Mirror {
  const watched = join(folder, "source");
  const synced = join(tool.target, COPY);
  for (const path of [watched, synced]) Deno.mkdirSync(path);
  const call = async () => {
    await flushDisks();
    const since = performance.now();
    await tool.bring(watched, COPY, ...tool.mirrorFlags);
    return performance.now() - since;
  };
  const check = (change: Change) => {
    if (!change.arrived()) throw new Error(`${change.what}: not all of it is there when ${name} has ended`);
  };
  return {
    name,
    live: false,
    watched,
    synced,
    start: () => tool.startServer(),
    bring: async (change) => {
      change.make();
      const took = await call();
      check(change);
      return took;
    },
    bringCut: async (change, enough) => {
      change.make();
      let ended = false;
      const cut = call().then(() => ended = true, () => ended = true);
      await until(`most of ${change.what}`, () => ended || enough(), { deadlineMs: DEADLINE_MS });
      if (change.arrived()) throw new Error("all had arrived before it could be cut");
      await tool.killServer();
      await cut;
      await tool.startServer();
      await call();
      check(change);
    },
    settled: () => Promise.resolve(null),
    rest: () => Promise.resolve(),
    stop: () => tool.stop(),
  };
}
