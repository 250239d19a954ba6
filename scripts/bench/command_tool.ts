import { join } from "node:path";
import { flushDisks } from "./flush_disks.ts";
import type { Wire } from "./wire.ts";

/** A tool that is called for each transfer, with its server on loopback, which is the receiver. */
export interface CommandTool {
  /** The folder below which the server may write. */
  readonly target: string;
  /** Calls the tool once: what lies in `source` is brought to the existing folder `name` below the target. */
  bring(source: string, name: string, ...flags: string[]): Promise<void>;
  /** What makes {@linkcode bring} a mirror that deletes too and goes on with what was cut, where the tool has to be told. */
  readonly mirrorFlags: readonly string[];
  /** Ends the server, and what it is doing, with SIGKILL. */
  killServer(): Promise<void>;
  startServer(): Promise<void>;
  stop(): Promise<void>;
}

/** Prepares a tool in a new folder, its server not running yet; with a wire, the tool goes through that. */
export type MakeCommandTool = (folder: string, wire: Wire | null) => Promise<CommandTool>;

/** Brings what lies in `source` to the new, empty folder `name` and gives the command's time in milliseconds. */
export async function timeFirst(
  tool: CommandTool,
  source: string,
  name: string,
  ...flags: string[]
): Promise<number> {
  Deno.mkdirSync(join(tool.target, name));
  await flushDisks();
  const since = performance.now();
  await tool.bring(source, name, ...flags);
  return performance.now() - since;
}
