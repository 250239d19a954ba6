import assert from "node:assert/strict";
import { PROGRAM_FLAGS } from "../../scripts/support/program_flags.ts";
import { eventually } from "../helpers/eventually.ts";
import { makeIdentity, PlainClient } from "../helpers/plain_client.ts";
import { mirrorsync, type Outcome, type Peer, ROOT, runningPair, said } from "../helpers/program.ts";
import { assertFile, put } from "../helpers/tree.ts";

const PASSWORD = "correct horse";

/** Runs a command on a peer's home with something on its stdin. */
function tell(peer: Peer, stdin: string, ...args: string[]): Promise<Outcome> {
  return mirrorsync(["--home", peer.home, ...args], { stdin });
}

function audit(peer: Peer, kind: string) {
  return peer.query(`SELECT who, subject, detail, times FROM audit WHERE kind = '${kind}' ORDER BY number`);
}

/** `login` on a terminal of its own, on which somebody types `keys` when the password is asked for; all that the terminal showed. */
async function loginOnTerminal(peer: Peer, keys: string): Promise<{ code: number; shown: string }> {
  const program = [Deno.execPath(), "run", "--no-lock", ...PROGRAM_FLAGS, "main.ts"];
  const command = [...program, "--home", peer.home, "login", "anna"];
  const child = new Deno.Command("script", {
    args: ["-qec", command.map((word) => `'${word}'`).join(" "), "/dev/null"],
    ...{ cwd: ROOT, env: { NO_COLOR: "1" }, stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  const writer = child.stdin.getWriter();
  let shown = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const before = shown;
    shown += text;
    if (shown.includes("Password: ") && !before.includes("Password: ")) {
      await writer.write(new TextEncoder().encode(keys));
    }
  }
  await child.stderr.cancel();
  const { code } = await child.status;
  await writer.close().catch(() => {}); // the terminal is gone
  return { code, shown };
}

async function hasScript(): Promise<boolean> {
  try {
    return (await new Deno.Command("script", { args: ["--version"] }).output()).code === 0;
  } catch {
    return false;
  }
}

Deno.test("login, a run that outlives its session, a scheduled task with a token, and what is written down", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;

  await t.step("the first user closes the home, and what runs goes on", async () => {
    const added = await tell(a, PASSWORD, "user", "add", "anna", "--password-stdin");
    assert.equal(added.code, 0, said(added));
    const refused = await a.command("status");
    assert.equal(refused.code, 3, said(refused));
    assert.match(refused.stderr, /log in with .*login NAME/);
    await put(`${a.watched}/after`, "after");
    await assertFile(`${b.synced}/after`, "after");
  });

  await t.step("processes that guess side by side have no more tries than one alone", async () => {
    const guesses = await Promise.all(
      Array.from({ length: 6 }, (_, i) => tell(a, `wrong horse ${i}`, "login", "anna", "--password-stdin")),
    );
    for (const guess of guesses) assert.equal(guess.code, 3, said(guess));
    const count = async (kind: string) =>
      (await audit(a, kind)).reduce((sum, { times }) => sum + Number(times), 0);
    const [failed, throttled] = [await count("login_failed"), await count("login_throttled")];
    assert.equal(failed + throttled, 6, "every one is recorded");
    assert.ok(failed <= 5, `${failed} passwords were looked at`); // 3 if they all came within a second
  });

  await t.step(
    "the owner waits a moment, and logs in on a terminal that does not show the password",
    async () => {
      if (!await hasScript()) return;
      await eventually("a try is looked at again", async () => {
        const { code, shown } = await loginOnTerminal(a, "nonsense\x15correct horsf\x7fe\r");
        assert.equal(code, 0, shown);
        assert.doesNotMatch(shown, /horse|nonsense/);
      });
    },
  );
  const login = async () => {
    const done = await tell(a, PASSWORD, "login", "anna", "--password-stdin");
    assert.equal(done.code, 0, said(done));
  };
  await eventually("a try is looked at again", login);

  let token = "";
  await t.step("a token for a scheduled task, and a change of the settings", async () => {
    const made = JSON.parse((await a.ok("token", "create", "--name", "nightly", "--json")).stdout);
    token = made.token;
    await a.stop();
    await Deno.writeTextFile(`${a.home}/mirrorsync.toml`, 'log_days = 7\naudit_days = 500\nlimit = "none"\n');
    await a.ok("logout");
    await put(`${a.watched}/nightly`, "nightly");
    const env = { MIRRORSYNC_TOKEN: token };
    const task = await mirrorsync(a.runArguments("--once", "--peer", b.address), { env });
    assert.equal(task.code, 0, said(task));
    await assertFile(`${b.synced}/nightly`, "nightly");
    assert.deepEqual((await audit(a, "settings_changed")).map(({ who, detail }) => `${who}: ${detail}`), [
      "token nightly: changed since the run before: listen, log_days, audit_days",
    ]);
    const without = await mirrorsync(a.runArguments("--once"));
    assert.equal(without.code, 3, said(without));
  });

  await t.step("a run goes on when its session has ended", async () => {
    await login();
    await a.start();
    await a.ok("token", "revoke", "nightly");
    await a.ok("logout");
    await put(`${a.watched}/later`, "later");
    await assertFile(`${b.synced}/later`, "later");
  });

  await t.step("a revoked token is refused", async () => {
    const task = await mirrorsync(["--home", a.home, "status"], { env: { MIRRORSYNC_TOKEN: token } });
    assert.equal(task.code, 3, said(task));
    assert.match(task.stderr, /revoked.*token create/);
  });

  await t.step("strangers at the door make one row, whatever their number", async () => {
    const stranger = await makeIdentity("bert");
    for (let i = 0; i < 20; i++) {
      await using client = await PlainClient.connect({
        ...{ port: a.port, server: a.certificate, identity: stranger },
      });
      await client.reply().catch(() => null); // hung up on
    }
    await a.stop();
    const rows = await audit(a, "peer_refused");
    assert.deepEqual(
      rows.map(({ subject, times }) => [subject, times]),
      [["127.0.0.1", 20]],
      JSON.stringify(rows),
    );
    assert.match(String(rows[0]?.detail), /certificate that it showed is not trusted/);
    assert.deepEqual((await audit(b, "peer_added")).map(({ subject }) => subject), ["anna"]);
    const all = await Deno.readFile(await a.databasePath());
    for (const secret of [PASSWORD, "wrong horse", token]) {
      assert.equal(
        new TextDecoder("latin1").decode(all).includes(secret),
        false,
        "no secret is in the database",
      );
    }
  });
});
