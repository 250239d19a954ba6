import { fileURLToPath } from "node:url";
import type { Failure, Tally } from "./campaign.ts";

/** An input that is not done with after so long hangs. Such a one takes milliseconds, the slowest a few seconds. */
const HANGS_AFTER_MS = 120_000;
const POLL_MS = 500;
/** What the engine may keep on its heap: what would need more ends the process, and is found by that. */
const HEAP_MIB = 384;

/** How a campaign in a process of its own has ended. */
export interface Campaign {
  readonly tallies: readonly (readonly [string, Tally])[];
  readonly failures: readonly Failure[];
  /** The most that was resident, as the system has counted it where it does (Linux), else as it was looked at now and then. */
  readonly residentAtMostBytes: number;
}

/**
 * Runs a campaign in a process of its own, so that an input that hangs, or eats all memory, is found as well as one that breaks
 * something.
 *
 * @param program The process; a test hands in another one.
 */
export async function oversee(
  options: {
    readonly seed: number;
    readonly inputs: number;
    readonly maxFailures?: number;
    readonly hangsAfterMs?: number;
    readonly onProgress?: (index: number) => void;
  },
  program: URL = new URL("run.ts", import.meta.url),
): Promise<Campaign> {
  const { seed, inputs, maxFailures = 1, hangsAfterMs = HANGS_AFTER_MS } = options;
  const file = await Deno.makeTempFile({ prefix: "mirrorsync-fuzz-at-" });
  try {
    const child = command(program, ["campaign", `${seed}`, `${inputs}`, file, `${maxFailures}`]).spawn();
    const ended = child.output();
    let isRunning = true;
    ended.finally(() => isRunning = false);
    let at = -1, silentMs = 0, hung = false, peakBytes = 0;
    while (isRunning) {
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, POLL_MS))]);
      const now = await indexIn(file);
      const seen = await lookAt(child.pid);
      peakBytes = Math.max(peakBytes, seen.peakBytes);
      // Counted in looks, not by the clock: somebody may stop this process, or the other one, for as long as he likes.
      if (!seen.isStopped) silentMs += POLL_MS;
      if (now !== at) {
        at = now;
        silentMs = 0;
        options.onProgress?.(at);
      } else if (isRunning && silentMs > (at < 0 ? HANGS_AFTER_MS : hangsAfterMs)) {
        hung = true;
        child.kill("SIGKILL");
        break;
      }
    }
    const { code, stdout, stderr } = await ended;
    const said = new TextDecoder().decode(stdout).trim();
    if (!hung && said.startsWith("{")) {
      const { residentAtMostBytes, ...rest } = JSON.parse(said.split("\n").at(-1)!) as Campaign;
      return { ...rest, residentAtMostBytes: Math.max(residentAtMostBytes, peakBytes) };
    }
    const why = hung
      ? `it hangs: not done with after ${hangsAfterMs / 1000} s`
      : `it ended the process (status ${code}): ${new TextDecoder().decode(stderr).slice(-2000)}`;
    if (at < 0) throw new Error(`the process that reads has not come to its first input: ${why}`);
    const { target, hex } = await show(program, seed, at);
    return {
      tallies: [],
      failures: [{ index: at, target, hex, message: why }],
      residentAtMostBytes: peakBytes,
    };
  } finally {
    await Deno.remove(file);
  }
}

/** Which input has an index. */
export async function show(
  program: URL,
  seed: number,
  index: number,
): Promise<{ target: string; hex: string }> {
  const { stdout } = await command(program, ["show", `${seed}`, `${index}`]).output();
  return JSON.parse(new TextDecoder().decode(stdout)) as { target: string; hex: string };
}

/** Throws one input; gives what it has broken. */
export async function replay(program: URL, target: string, hex: string): Promise<string | null> {
  const { code, stdout, stderr } = await command(program, ["input", target, hex]).output();
  const said = new TextDecoder().decode(stdout).trim();
  if (said === "") {
    return `it ended the process (status ${code}): ${new TextDecoder().decode(stderr).slice(-2000)}`;
  }
  return (JSON.parse(said) as { message: string | null }).message;
}

function command(program: URL, args: readonly string[]): Deno.Command {
  const flags = ["run", "-A", "--frozen", `--v8-flags=--max-old-space-size=${HEAP_MIB}`];
  return new Deno.Command(Deno.execPath(), {
    args: [...flags, fileURLToPath(program), ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function indexIn(file: string): Promise<number> {
  const bytes = await Deno.readFile(file);
  return bytes.length < 8 ? -1 : Number(new DataView(bytes.buffer).getBigUint64(0));
}

/** The most memory that a process has had, and whether somebody has stopped it; neither where the system does not tell. */
async function lookAt(pid: number): Promise<{ peakBytes: number; isStopped: boolean }> {
  if (Deno.build.os !== "linux") return { peakBytes: 0, isStopped: false };
  const status = await Deno.readTextFile(`/proc/${pid}/status`).catch(() => ""); // it has just ended
  return {
    peakBytes: Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024,
    isStopped: /^State:\s*T/m.test(status),
  };
}
