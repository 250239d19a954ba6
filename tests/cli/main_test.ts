import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Home } from "../../src/cli/home.ts";
import { HomeLock } from "../../src/cli/home_lock.ts";
import { localNote } from "../../src/store/log.ts";

const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));

function command(args: readonly string[], cwd?: string): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-lock", "--no-check", "-A", MAIN, ...args],
    ...(cwd !== undefined && { cwd }),
    env: { NO_COLOR: "1", MIRRORSYNC_HOME: "" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function mirrorsync(args: readonly string[], cwd?: string) {
  const { code, stdout, stderr } = await command(args, cwd).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** Runs `body` with a folder that holds `w` and `s`, and a home in it. */
async function inFolder(body: (folder: string, home: Home) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    for (const name of ["w", "s"]) await Deno.mkdir(`${folder}/${name}`);
    await body(folder, new Home(`${folder}/home`, false));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the process ends with the status of its command", async () => {
  await inFolder(async (folder, home) => {
    const [version, wrong, missing] = await Promise.all([
      mirrorsync(["--version"]),
      mirrorsync(["frobnicate"]),
      mirrorsync(["--home", home.directory, "status"]),
    ]);
    assert.equal(version.code, 0);
    assert.match(version.out, /^\d+\.\d+\.\d+\n$/);
    assert.deepEqual([wrong.code, wrong.out], [2, ""]);
    assert.deepEqual([missing.code, missing.out], [1, ""]);
    // Relative folders: the home's from the folder the command is given in.
    const made = await mirrorsync(["init", "--home", "home", "--json"], folder);
    assert.equal(made.code, 0, made.err);
    assert.equal(JSON.parse(made.out).home, home.directory);
    assert.equal((await mirrorsync(["--home", home.directory, "peer", "remove", "nobody"])).code, 4);
  });
});

Deno.test("a home that is in use: 5, by home and process", async () => {
  await inFolder(async (folder, home) => {
    assert.equal((await mirrorsync(["--home", home.directory, "init"])).code, 0);
    using _lock = await HomeLock.take(home);
    const folders = ["--watched", `${folder}/w`, "--synced", `${folder}/s`, "--listen", "127.0.0.1:0"];
    const run = await mirrorsync(["--home", home.directory, "run", ...folders]);
    assert.equal(run.code, 5);
    assert.ok(run.err.includes(home.directory) && run.err.includes(`process ${Deno.pid}`), run.err);
    const status = JSON.parse((await mirrorsync(["--home", home.directory, "status", "--json"])).out);
    assert.deepEqual([status.running, status.pid], [true, Deno.pid]);
  });
});

Deno.test("a reader that goes away early is no error", async () => {
  await inFolder(async (_folder, home) => {
    assert.equal((await mirrorsync(["--home", home.directory, "init"])).code, 0);
    {
      using store = home.openStore();
      store.transaction(() => {
        for (let i = 0; i < 5000; i++) {
          store.log.add(localNote(0, "skip", `${i}${"x".repeat(100)}`, "a", "b"));
        }
      });
    }
    const child = command(["--home", home.directory, "log", "--limit", "5000"]).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
    assert.deepEqual([code, err], [0, ""]);
  });
});
