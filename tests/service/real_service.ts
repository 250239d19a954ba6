/**
 * Run by service_test.ts where a systemd user manager answers: installs the service of a home with users, and goes through what
 * can happen to it. Fails with an assertion.
 */
import assert from "node:assert/strict";
import { Home } from "../../src/cli/home.ts";
import { HomeLock } from "../../src/cli/home_lock.ts";
import { eventually } from "../helpers/eventually.ts";
import type { JsonObject } from "../helpers/json.ts";
import { mirrorsync, Peer, said } from "../helpers/program.ts";

const temporary = await Deno.realPath(await Deno.makeTempDir({ prefix: "mirrorsync-service-" }));
/** A name with all that a unit's syntax gives a meaning to. */
const folder = `${temporary}/it's "100%h" of $HOME\\x`;
const peer = await Peer.create("anna", folder);
const unit = `${
  Deno.env.get("XDG_CONFIG_HOME") ?? `${Deno.env.get("HOME")}/.config`
}/systemd/user/mirrorsync.service`;
const folders = ["--watched", peer.watched, "--synced", peer.synced];

async function tell(...args: string[]): Promise<void> {
  const done = await mirrorsync(["--home", peer.home, ...args], { stdin: "correct horse" });
  assert.equal(done.code, 0, said(done));
}

async function state(): Promise<JsonObject> {
  return JSON.parse((await peer.ok("service", "status", "--json")).stdout);
}

/** The service's process, as systemd knows it. */
async function mainPid(): Promise<number> {
  const { stdout } = await new Deno.Command("systemctl", {
    args: ["--user", "show", "mirrorsync.service", "--property=MainPID", "--value"],
  }).output();
  return Number(new TextDecoder().decode(stdout));
}

async function systemctl(...args: string[]): Promise<void> {
  await new Deno.Command("systemctl", { args: ["--user", ...args], stderr: "null" }).output();
}

/** Waits for another process of the service than `before`, which has the home. */
async function comesBack(before: number): Promise<number> {
  const pid = await eventually("the service runs", async () => {
    const now = await mainPid();
    assert.ok(now !== 0 && now !== before, `its process is ${now}`);
    assert.equal(Number.parseInt(await Deno.readTextFile(`${peer.home}/lock`)), now, "it has the home");
    return now;
  }, { everyMs: 50 });
  const now = await state();
  assert.deepEqual([now.running, now.pid], [true, pid]);
  return pid;
}

try {
  assert.deepEqual(
    await state(),
    {
      ...{ kind: "systemd user unit", path: unit, installed: false, running: false, pid: null },
      ...{ lastEnd: null, home: null, problem: null },
    },
  );

  // What runs already is not started a second time.
  {
    using _lock = await HomeLock.take(new Home(peer.home, false));
    const busy = await peer.command("service", "install", ...folders);
    assert.equal(busy.code, 5, busy.stderr);
    assert.match(busy.stderr, new RegExp(`already \\(process ${Deno.pid}\\).*stop that one first`));
  }

  // A home with users: the service has a token of its own, which is in no file that others can read.
  await tell("user", "add", "anna", "--password-stdin");
  await tell("login", "anna", "--password-stdin");
  const installed = await peer.ok("service", "install", ...folders);
  assert.match(installed.stdout, /Installed as a systemd user unit: .*\nIt runs \(process \d+\)/);
  const token = (await Deno.readTextFile(`${peer.home}/service.token`)).trim();
  assert.match(token, /^mirrorsync_\S{20,}$/);
  assert.equal((await Deno.stat(`${peer.home}/service.token`)).mode! & 0o777, 0o600);
  assert.ok(!(await Deno.readTextFile(unit)).includes(token));
  assert.equal((await peer.objects("token", "list"))[0]?.name, "service");

  const first = await comesBack(0);

  // Another one does not take its place unasked; the same one may be installed again.
  await Deno.mkdir(`${folder}/other`);
  const other = await peer.command(
    "service",
    "install",
    "--watched",
    `${folder}/other`,
    "--synced",
    peer.synced,
  );
  assert.equal(other.code, 1);
  assert.match(
    other.stderr,
    /installed already, and it is another one, with other folders.*--replace.*service uninstall/,
  );
  assert.equal(await mainPid(), first);

  // Another home is told whose service it is, and cannot remove it.
  const second = await Peer.create("second", `${folder}/second`);
  assert.match((await second.ok("service", "status")).stdout, /It is the service of another home: .*anna/);
  for (const args of [["uninstall"], ["install", "--watched", second.watched, "--synced", second.synced]]) {
    const done = await second.command("service", ...args);
    assert.equal(done.code, 1);
    assert.match(done.stderr, /that of another home, .*--home .*service uninstall/);
  }
  assert.equal(await mainPid(), first);

  // It is killed while a folder is away: it fails, says why, and comes back with the folder.
  await Deno.rename(peer.watched, `${peer.watched}-away`);
  Deno.kill(first, "SIGKILL");
  await eventually("the service says what is missing", async () => {
    assert.equal(await mainPid(), 0);
    const now = await state();
    assert.equal(now.running, false);
    assert.match(String(now.lastEnd), /exit status 1/);
    assert.match(String(now.problem), /the watched folder .* does not exist/);
  }, { everyMs: 200 });
  await Deno.rename(`${peer.watched}-away`, peer.watched);
  const third = await comesBack(first);

  // Its token is revoked: it is not let in any more, which is said, and a new one is made.
  await peer.ok("token", "revoke", "service");
  Deno.kill(third, "SIGKILL");
  await eventually("the service says that it is not let in", async () => {
    const now = await state();
    assert.deepEqual([now.running, now.home], [false, peer.home]);
    assert.match(String(now.lastEnd), /exit status 3/);
    assert.match(String(now.problem), /the service's token is revoked.*service install --replace/);
  }, { everyMs: 200 });
  await peer.ok("service", "install", ...folders, "--replace");
  await comesBack(third);

  // Its program is not where it was.
  const text = await Deno.readTextFile(unit);
  await Deno.writeTextFile(unit, text.replace(/^ExecStart=:\S+/m, "ExecStart=:/no/such/program"));
  await systemctl("daemon-reload");
  await systemctl("restart", "mirrorsync.service");
  await eventually("the service says that its program is gone", async () => {
    assert.match(String((await state()).lastEnd), /203 \(the program is not where it was/);
  }, { everyMs: 200 });

  await peer.ok("service", "uninstall");
  assert.equal((await state()).installed, false);
  for (const path of [unit, `${peer.home}/service.token`]) {
    await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
  }
  assert.equal((await peer.objects("token", "list"))[0]?.state, "revoked");
} finally {
  await peer.command("service", "uninstall");
  await Deno.remove(temporary, { recursive: true });
}
