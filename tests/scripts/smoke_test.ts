import assert from "node:assert/strict";
import { ROOT } from "../helpers/program.ts";
import { PROGRAM_FLAGS } from "../../scripts/support/program_flags.ts";

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
    smoke(Deno.execPath(), "run", ...PROGRAM_FLAGS, "main.ts"),
    smoke(Deno.execPath(), "eval", "Deno.exit(7)"),
  ]);
  assert.equal(good.code, 0, good.out + good.err);
  assert.match(good.out, /^smoke: passed$/m);
  assert.equal(bad.code, 1);
  assert.match(bad.err, /^smoke: failed: it tells its version: .*exited with 7/m);
  assert.doesNotMatch(bad.err, /said last/);
});

Deno.test("the smoke test says what is wrong with what it is to prove", async () => {
  const wrong = async (code: number, message: RegExp, ...program: string[]) => {
    const done = await smoke(...program);
    assert.match(done.err, message);
    assert.equal(done.code, code);
  };
  await wrong(2, /name what is to be proved/);
  await wrong(2, /^smoke: there is no file no\/where$/m, "no/where");
  await wrong(2, /^smoke: scripts is no file/m, "scripts");
  if (Deno.build.os !== "windows") {
    await wrong(2, /README.md may not be executed.*chmod \+x/, "./README.md");
    await wrong(1, /this is no MirrorSync: it says "hello --version"/, "/bin/echo", "hello");
  }
});

Deno.test({
  name: "the smoke test proves a program that another one starts, and leaves none behind",
  ignore: Deno.build.os === "windows", // no group of processes there that can be ended as one
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const wrapper = `${folder}/wrapper`;
      const command = [Deno.execPath(), "run", ...PROGRAM_FLAGS, `${ROOT}/main.ts`];
      // It does not `exec`: the program is its child.
      await Deno.writeTextFile(
        wrapper,
        `#!/bin/sh\ntrap 'wait $!; exit $?' TERM\n${command.join(" ")} "$@" &\nwait $!\n`,
        {
          mode: 0o755,
        },
      );
      const { code, out, err } = await smoke(wrapper);
      assert.equal(code, 0, out + err);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "the smoke test that is interrupted ends what it has started, and leaves nothing behind",
  ignore: Deno.build.os === "windows", // there is no way to send a Ctrl-C to one process there
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "scripts/smoke.ts", Deno.execPath(), "run", ...PROGRAM_FLAGS, "main.ts"],
        cwd: ROOT,
        env: { TMPDIR: folder },
        stdout: "piped",
        stderr: "null",
      }).spawn();
      let said = "";
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        if ((said += text).includes("two homes are made")) child.kill("SIGINT");
      }
      assert.equal((await child.status).code, 130, said);
      assert.deepEqual(await Array.fromAsync(Deno.readDir(folder)), []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
