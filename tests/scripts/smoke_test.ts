import assert from "node:assert/strict";
import { ROOT } from "../helpers/program.ts";
import { PERMISSION_FLAGS } from "../../scripts/support/program_flags.ts";

async function smoke(...program: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "scripts/smoke.ts", ...program],
    cwd: ROOT,
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

Deno.test("the smoke test proves a program that works, and says where another one fails", async () => {
  const [good, bad] = await Promise.all([
    smoke(Deno.execPath(), "run", ...PERMISSION_FLAGS, "main.ts"),
    smoke(Deno.execPath(), "eval", "Deno.exit(7)"),
  ]);
  assert.equal(good.code, 0, good.out + good.err);
  assert.match(good.out, /^smoke: passed$/m);
  assert.equal(bad.code, 1);
  assert.match(bad.err, /^smoke: failed: it tells its version: .*exited with 7/m);
  assert.equal((await smoke()).code, 2);
});
