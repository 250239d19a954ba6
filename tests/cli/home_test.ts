import assert from "node:assert/strict";
import { Home, homeDirectory } from "../../src/cli/home.ts";
import { HomeLock, lockHolder } from "../../src/cli/home_lock.ts";

function where(
  os: typeof Deno.build.os,
  vars: Record<string, string>,
  flag: string | null = null,
  cwd = os === "windows" ? "C:\\work" : "/here",
): string {
  return homeDirectory({ flag, env: (name) => vars[name], os, cwd });
}

Deno.test("the home: --home, then MIRRORSYNC_HOME, then the system's place", () => {
  const vars = { HOME: "/home/anna", MIRRORSYNC_HOME: "/from/env", XDG_DATA_HOME: "/data" };
  assert.equal(where("linux", vars, "/flag"), "/flag");
  assert.equal(where("linux", vars, "rel/ative"), "/here/rel/ative");
  assert.equal(where("linux", vars), "/from/env");
  assert.equal(where("linux", { ...vars, MIRRORSYNC_HOME: "rel" }), "/here/rel");
  assert.equal(where("linux", { ...vars, MIRRORSYNC_HOME: "" }), "/data/mirrorsync");
  assert.equal(where("linux", { HOME: "/home/anna" }), "/home/anna/.local/share/mirrorsync");
  assert.equal(
    where("linux", { HOME: "/home/anna", XDG_DATA_HOME: "rel" }),
    "/home/anna/.local/share/mirrorsync",
  );
  assert.equal(
    where("darwin", { HOME: "/Users/anna", XDG_DATA_HOME: "/data" }),
    "/Users/anna/Library/Application Support/MirrorSync",
  );
  assert.equal(
    where("windows", { LOCALAPPDATA: "C:\\Users\\anna\\AppData\\Local" }),
    "C:\\Users\\anna\\AppData\\Local\\MirrorSync",
  );
  assert.equal(where("windows", { USERPROFILE: "C:\\Users\\a" }), "C:\\Users\\a\\AppData\\Local\\MirrorSync");
  assert.equal(where("windows", {}, "D:\\x"), "D:\\x");
});

Deno.test("without any place for the home, and with an empty --home, it says what to do", () => {
  for (const os of ["linux", "darwin", "windows"] as const) {
    assert.throws(() => where(os, {}), { code: "wrong_usage", message: /--home DIR.*MIRRORSYNC_HOME/ });
  }
  assert.throws(() => where("linux", { HOME: "/h" }, ""), { code: "wrong_usage" });
});

Deno.test("commands are shown with --home where the user gave it, quoted for a shell", () => {
  assert.equal(new Home("/x", false).command("status"), "mirrorsync --home /x status");
  assert.equal(new Home("/it's here", false).command("status"), "mirrorsync --home '/it'\\''s here' status");
  assert.equal(new Home("/x", true).command("status"), "mirrorsync status");
});

Deno.test(
  "home and database are made for their owner alone",
  { ignore: Deno.build.os === "windows" },
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const home = new Home(`${folder}/a/b`, false);
      assert.equal(await home.isInitialised(), false);
      await assert.rejects(home.mustBeInitialised(), {
        code: "failed",
        message: /mirrorsync --home .* init/,
      });
      await home.make();
      await home.make();
      assert.equal((await Deno.stat(home.directory)).mode! & 0o777, 0o700);
      home.openStore()[Symbol.dispose]();
      home.openStore()[Symbol.dispose]();
      assert.equal((await Deno.stat(home.databasePath)).mode! & 0o777, 0o600);
      await Deno.writeTextFile(`${folder}/file`, "");
      await assert.rejects(new Home(`${folder}/file/home`, false).make(), {
        code: "failed",
        message: /\/file\/home/,
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test("one process at a time has the lock, and it is known which", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const home = new Home(folder, false);
    assert.equal(await lockHolder(home), null);
    {
      using _lock = await HomeLock.take(home);
      assert.deepEqual(await lockHolder(home), { pid: Deno.build.os === "windows" ? null : Deno.pid });
      await assert.rejects(HomeLock.take(home), { code: "home_in_use", message: new RegExp(folder) });
    }
    assert.equal(await lockHolder(home), null);
    using _again = await HomeLock.take(home);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a look at the lock does not keep a run out", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const home = new Home(folder, false);
    (await HomeLock.take(home))[Symbol.dispose]();
    using looking = await Deno.open(home.lockPath, { read: true });
    assert.equal(await looking.tryLock(false), true);
    setTimeout(() => looking.unlockSync(), 60);
    using _lock = await HomeLock.take(home);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
