import { dirname } from "node:path";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { ProgramResult, RunProgram, Step } from "./manager.ts";

const AGAIN_EVERY_MS = 500;

/**
 * Runs a program of the system to its end.
 *
 * @throws {MirrorError} `failed` when it is not there or may not be run.
 */
export async function runProgram(command: readonly string[]): Promise<ProgramResult> {
  try {
    const { code, stdout, stderr } = await new Deno.Command(command[0]!, {
      args: command.slice(1),
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    return { code, out: text.decode(stdout), err: text.decode(stderr) };
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound ? "it is not there" : messageOf(cause);
    throw new MirrorError("failed", `${command[0]} cannot be run: ${why}`, { cause });
  }
}

/**
 * Does what the steps say, one after the other, and stops at the first that fails.
 *
 * @throws {MirrorError} `failed` naming the step.
 */
export async function carryOut(steps: readonly Step[], run: RunProgram): Promise<void> {
  for (const step of steps) {
    switch (step.kind) {
      case "write":
        await atPath(step.path, "written", async () => {
          await Deno.mkdir(dirname(step.path), { recursive: true });
          await Deno.writeFile(step.path, step.bytes, { mode: 0o600 });
        });
        break;
      case "remove":
        await atPath(step.path, "removed", async () => {
          await Deno.remove(step.path).catch((error) => {
            if (!(error instanceof Deno.errors.NotFound)) throw error;
          });
        });
        break;
      case "run": {
        const { code, out, err } = await runPatiently(step.command, step.againMs ?? 0, run);
        if (code === 0 || step.mayFail) break;
        const said = (err.trim() || out.trim()).split("\n").at(-1) ?? "";
        throw new MirrorError("failed", `${step.command.join(" ")} failed with ${code}: ${said}`);
      }
    }
  }
}

async function runPatiently(
  command: readonly string[],
  againMs: number,
  run: RunProgram,
): Promise<ProgramResult> {
  for (const end = Date.now() + againMs;;) {
    const result = await run(command);
    if (result.code === 0 || Date.now() >= end) return result;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_EVERY_MS));
  }
}

async function atPath(path: string, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new MirrorError("failed", `${path} cannot be ${what}: ${messageOf(cause)}`, { cause });
  }
}
