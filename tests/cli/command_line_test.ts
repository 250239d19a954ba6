import assert from "node:assert/strict";
import { allCommands, defineProgram } from "../../src/cli/program.ts";
import { Home } from "../../src/cli/home.ts";
import { createCertificate } from "../../src/identity/certificate.ts";
import { parseRelativePath } from "../../src/domain/relative_path.ts";
import { localNote } from "../../src/store/log.ts";
import { capture, type Captured } from "./capture.ts";

/** A command on a home of its own. */
type At = (...args: string[]) => Promise<Captured>;

/** Runs `body` with a folder, and a home in it that is not there yet. */
async function withHome(body: (at: At, home: Home, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  const home = new Home(`${folder}/home`, false);
  try {
    await body((...args) => capture(["--home", home.directory, ...args]), home, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function assertFails(done: Captured, status: number, message: RegExp): void {
  assert.equal(done.status, status, done.err);
  assert.match(done.err, message);
  assert.match(done.err, /^mirrorsync: /);
  assert.equal(done.out, "");
}

Deno.test("help goes to stdout with 0; the command line alone is wrong usage, its help goes to stderr", async () => {
  const help = await capture(["--help"]);
  assert.equal(help.status, 0);
  assert.match(help.out, /Exit status: 0 done/);
  const alone = await capture([]);
  assert.deepEqual({ ...alone, err: "" }, { status: 2, out: "", err: "" });
  assert.equal(alone.err, help.out);
  assert.equal((await capture(["peer"])).status, 2);
  assert.deepEqual(await capture(["--version"]), { status: 0, out: "1.2.3\n", err: "" });
  for (
    const command of [
      "init",
      "identity",
      "invite",
      "join",
      "run",
      "status",
      "log",
      "pending list",
      "pending retry",
      "peer add",
      "peer list",
      "peer remove",
    ]
  ) {
    const { status, out } = await capture([...command.split(" "), "--help"]);
    assert.equal(status, 0, command);
    for (
      const part of ["Exit status:", `$ mirrorsync ${command.replace(/ list$/, "")}`, "--home", "--json"]
    ) {
      assert.ok(out.includes(part), `${command} --help does not show ${part}`);
    }
  }
});

Deno.test("every command's help has an example; help COMMAND prints it too", async () => {
  const program = defineProgram(() => () => Promise.resolve(), "1.2.3", () => {});
  for (const command of allCommands(program).slice(1)) {
    const words: string[] = [];
    for (let at: typeof command | null = command; at.parent !== null; at = at.parent) {
      words.unshift(at.name());
    }
    const { status, out } = await capture(["help", ...words]);
    assert.equal(status, 0);
    assert.match(out, /^Example:\n {2}\$ .*mirrorsync /m, words.join(" "));
    assert.equal((await capture([...words, "--help"])).out, out);
  }
  assert.equal((await capture(["help"])).out, (await capture(["--help"])).out);
  assertFails(await capture(["help", "servce"]), 2, /unknown command 'servce': there is init, .*service/);
  assertFails(
    await capture(["help", "peer", "ad"]),
    2,
    /unknown command 'ad' of peer: there is add, list, remove/,
  );
});

Deno.test("wrong usage is 2, says what is wrong, and suggests what was meant", async () => {
  assertFails(await capture(["frobnicate"]), 2, /unknown command 'frobnicate'/);
  assertFails(await capture(["statsu"]), 2, /Did you mean status\?/);
  assertFails(
    await capture(["run", "--wathced", "x"]),
    2,
    /unknown option '--wathced' \(Did you mean --watched\?\)/,
  );
  assertFails(await capture(["peer", "add"]), 2, /missing required argument 'cert.pem'/);
  assertFails(await capture(["peer", "ad"]), 2, /Did you mean add\?/);
  assertFails(
    await capture(["pending", "retyr"]),
    2,
    /unknown command 'retyr' of pending: there is list, retry/,
  );
  assertFails(await capture(["status", "now"]), 2, /too many arguments/);
  assertFails(await capture(["run", "--listen", "h:99999"]), 2, /--listen .*"99999" is not a port/);
  assertFails(await capture(["log", "--limit", "many"]), 2, /--limit .*many/);
  assertFails(await capture(["init", "--name", "a\nb"]), 2, /--name .*printable/);
  assertFails(await capture(["--home"]), 2, /--home/);
  assertFails(
    await capture(["--home", "peer", "run", "--no"]),
    2,
    /\(mirrorsync run --help shows what there is\)/,
  );
  assertFails(await capture(["peer", "ad"]), 2, /\(mirrorsync peer --help shows what there is\)/);
  const asJson = await capture(["frobnicate", "--json"]);
  assert.equal(asJson.status, 2);
  assert.equal(JSON.parse(asJson.out).error.code, "wrong_usage");
});

Deno.test("every command but init and run says that a home is not there, and makes none", async () => {
  await withHome(async (at, home) => {
    for (
      const command of [
        "identity",
        "status",
        "log",
        "pending",
        "pending retry",
        "peer list",
        "peer remove x",
        "peer add x.pem",
      ]
    ) {
      assertFails(
        await at(...command.split(" ")),
        1,
        new RegExp(`no MirrorSync in ${home.directory} yet.* init`),
      );
    }
    await assert.rejects(Deno.lstat(home.directory), Deno.errors.NotFound);
    const asJson = await at("status", "--json");
    assert.deepEqual(Object.keys(JSON.parse(asJson.out)), ["error"]);
  });
});

Deno.test("init makes a home once; again it changes nothing and says what it did not do", async () => {
  await withHome(async (at, home) => {
    const made = await at("init", "--name", "anna", "--listen", "127.0.0.1:7000", "--json");
    assert.equal(made.status, 0, made.err);
    const report = JSON.parse(made.out);
    assert.deepEqual(report.made, ["identity", "config", "database"]);
    assert.equal(report.name, "anna");
    assert.equal(report.home, home.directory);
    assert.match(report.fingerprint, /^[0-9a-f]{64}$/);
    const before = await Promise.all(
      [home.certificatePath, home.keyPath, home.configPath].map((p) => Deno.readTextFile(p)),
    );
    const again = await at("init", "--name", "bert", "--listen", "127.0.0.1:7001");
    assert.equal(again.status, 0);
    assert.match(again.err, /named anna and stays so/);
    assert.match(again.err, /left as it is: set listen/);
    const after = await Promise.all(
      [home.certificatePath, home.keyPath, home.configPath].map((p) => Deno.readTextFile(p)),
    );
    assert.deepEqual(after, before);
    assert.equal((await at("init", "--listen", "127.0.0.1:7000")).err, "");
    assert.deepEqual(await at("init", "--quiet"), { status: 0, out: "", err: "" });
    await Deno.remove(home.databasePath);
    assert.deepEqual(JSON.parse((await at("init", "--json")).out).made, ["database"]);
  });
});

Deno.test("invite and join say what is wrong with what they are given", async () => {
  await withHome(async (at) => {
    assertFails(await at("invite", "--address", "http://x"), 2, /not a URL/);
    assertFails(
      await at("invite", ..."abcdefg".split("").flatMap((host) => ["--address", host])),
      2,
      /At most 6/,
    );
    for (const life of ["2d", "0s", "soon"]) {
      assertFails(await at("invite", "--expires", life), 2, /1s to 24h/);
    }
    assertFails(await at("join"), 2, /missing/);
    assertFails(await at("join", "hello"), 2, /no invite/);
    const made = JSON.parse(
      (await at("invite", "--no-wait", "--address", "one:1", "--address", "two:2", "--json")).out,
    );
    assert.deepEqual(Object.keys(made), ["invite", "expires", "fingerprint", "addresses"]);
    assert.deepEqual(made.addresses, ["one:1", "two:2"]);
    assertFails(await at("join", made.invite.slice(0, -9)), 2, /cut off/);
    assertFails(await at("join", made.invite), 2, /made here/);
  });
});

Deno.test("an invite that nobody uses says so when it has expired", async () => {
  await withHome(async (at) => {
    await at("init", "--name", "anna", "--listen", "127.0.0.1:0");
    const unanswered = await at("invite", "--expires", "1s");
    assert.equal(unanswered.status, 1, unanswered.err);
    assert.match(unanswered.err, /Waiting for it here[\s\S]*nobody has used the invite/);
    assert.match(unanswered.out, /^MS1-[0-9A-Z]+\n$/);
  });
});

Deno.test("peer add, list and remove", async () => {
  await withHome(async (at, home, folder) => {
    await at("init", "--name", "anna");
    const bert = await createCertificate("bert");
    const file = `${folder}/bert's.pem`;
    await Deno.writeTextFile(file, bert.certificatePem);
    const added = await at("peer", "add", file, "--address", "[::1]:7000");
    assert.equal(added.status, 0, added.err);
    assert.match(added.out, /bert is trusted now, at \[::1\]:7000/);
    assert.match(added.out, /fingerprint {2}[0-9A-F]{2}(:[0-9A-F]{2}){31}/);
    const again = JSON.parse((await at("peer", "add", file, "--name", "desk", "--json")).out);
    assert.deepEqual([again.name, again.address], ["desk", "[::1]:7000"], "a new name, the address stays");
    const list = JSON.parse((await at("peer", "list", "--json")).out);
    assert.equal(list.length, 1);
    const keys = ["name", "fingerprint", "address", "otherAddresses", "added", "lastSeen"];
    assert.deepEqual(Object.keys(list[0]), [...keys, "state", "since", "reason"]);
    assert.match((await at("peer", "list")).out, /^desk {2}\[::1\]:7000 {2}never connected {2}/);
    const next = await createCertificate("bert");
    await Deno.writeTextFile(file, next.certificatePem);
    assertFails(await at("peer", "add", file, "--name", "desk"), 2, /--replaces desk/);
    assertFails(await at("peer", "add", file, "--replaces", "nobody"), 4, /no peer named nobody/);
    assert.equal((await at("peer", "add", file, "--replaces", "desk")).status, 0);
    const replaced = JSON.parse((await at("peer", "list", "--json")).out);
    assert.deepEqual(replaced.map((each: { name: string }) => each.name), ["desk"]);
    assert.notEqual(replaced[0].fingerprint, list[0].fingerprint);
    assertFails(await at("peer", "remove", "nobody"), 4, /nobody/);
    assert.equal((await at("peer", "remove", "desk")).status, 0);
    assert.equal((await at("peer", "list", "--json")).out, "[]\n");
    assertFails(await at("peer", "add", home.certificatePath), 2, /own certificate/);
    assertFails(await at("peer", "add", home.keyPath), 1, /private key/);
    assertFails(await at("peer", "add", folder), 1, /is a folder/);
    assertFails(await at("peer", "add", `${folder}/none.pem`), 1, /none\.pem cannot be read/);
    await Deno.writeFile(`${folder}/huge.pem`, new Uint8Array(2_000_000));
    assertFails(await at("peer", "add", `${folder}/huge.pem`), 1, /far larger/);
  });
});

Deno.test("a certificate whose name cannot be shown needs --name; an expired one is refused", async () => {
  await withHome(async (at, _home, folder) => {
    await at("init", "--name", "anna");
    const forged = await createCertificate("safe\u202ename");
    await Deno.writeTextFile(`${folder}/forged.pem`, forged.certificatePem);
    assertFails(await at("peer", "add", `${folder}/forged.pem`), 2, /cannot name a peer.*--name/);
    assert.equal((await at("peer", "add", `${folder}/forged.pem`, "--name", "ok")).status, 0);
    const old = await createCertificate("old", Date.parse("1990-01-01T00:00:00Z"));
    await Deno.writeTextFile(`${folder}/old.pem`, old.certificatePem);
    assertFails(await at("peer", "add", `${folder}/old.pem`), 1, /expired/);
    const early = await createCertificate("early", Date.now() + 10 * 86_400_000);
    await Deno.writeTextFile(`${folder}/early.pem`, early.certificatePem);
    const added = await at("peer", "add", `${folder}/early.pem`);
    assert.equal(added.status, 0);
    assert.match(added.err, /warning: .*not valid before/);
  });
});

Deno.test("status, log and pending read what the database holds", async () => {
  await withHome(async (at, home) => {
    await at("init", "--name", "anna");
    {
      using store = home.openStore();
      const { number: peer } = store.peers.add({
        name: "bert",
        fingerprint: "ab".repeat(32),
        certificatePem: "x",
        address: null,
        addedMs: 0,
      });
      const path = parseRelativePath("docs/a.txt");
      store.pending.put({
        peer,
        path,
        action: "create",
        kind: "file",
        sizeBytes: 5,
        sinceMs: 0,
        movedTo: null,
        movedFrom: null,
      });
      store.pending.fail(peer, path, "not_owned", "it belongs to carl", null);
      store.skipped.add({ path: "a\nlink", reason: "symlink", message: "links are not sent", sinceMs: 0 });
      for (let i = 0; i < 5; i++) store.log.add(localNote(i * 1000, "skip", `docs/${i}.txt`, "x", "y"));
      store.log.add(localNote(9000, "skip", "other", "x", "y"));
    }
    const status = JSON.parse((await at("status", "--json")).out);
    assert.equal(status.running, false);
    assert.deepEqual(status.pending, { waiting: 0, refused: 1, held: 0, bytes: 0 });
    assert.equal(status.peers[0].name, "bert");
    assert.equal(status.peers[0].link, "down");
    assert.equal(status.peers[0].inSync, null);
    assert.equal(status.skipped[0].path, "a\nlink");
    const text = (await at("status")).out;
    assert.match(text, /anna is not running/);
    assert.match(text, /"a\\nlink": links are not sent/);

    const log = async (...args: string[]) =>
      (JSON.parse((await at("log", "--json", ...args)).out) as { path: string }[]).map((row) => row.path);
    assert.deepEqual(await log("--limit", "2"), ["docs/4.txt", "other"]);
    assert.deepEqual(await log("--path", "docs/*.txt", "--limit", "2"), ["docs/3.txt", "docs/4.txt"]);
    assert.deepEqual(await log("--path", "docs/0.txt"), ["docs/0.txt"]);
    assert.deepEqual(await log("--path", "none"), []);
    assert.equal((await at("log")).out.trim().split("\n").length, 12);

    const rows = JSON.parse((await at("pending", "--json")).out);
    assert.equal(rows.length, 1);
    assert.equal(rows[0].reason, "it belongs to carl");
    assert.match((await at("pending", "list")).out, /it belongs to carl/);
    assert.deepEqual(JSON.parse((await at("pending", "retry", "--json")).out), { retried: 1 });
    assert.equal(JSON.parse((await at("pending", "list", "--json")).out)[0].state, "waiting");
  });
});

Deno.test("run says what is missing before it touches anything", async () => {
  await withHome(async (at, home, folder) => {
    assertFails(await at("run", "--listen", "nonsense:x"), 2, /--listen/);
    await assert.rejects(Deno.lstat(home.directory), Deno.errors.NotFound);
    const noFolders = await at("run");
    assert.equal(noFolders.status, 2);
    assert.match(noFolders.err, /which folder is the watched one\? Give --watched DIR, or set watched in/);
    assert.equal(await home.isInitialised(), true, "a fresh home was initialised");
    for (const name of ["w", "s"]) await Deno.mkdir(`${folder}/${name}`);
    const folders = ["--watched", `${folder}/w`, "--synced", `${folder}/s`];
    assertFails(await at("run", ...folders, "--once"), 4, /no peer is trusted yet/);
    await Deno.writeTextFile(home.configPath, "watched = 5\n");
    assertFails(await at("run", ...folders), 1, /mirrorsync\.toml, line 1: watched must be/);
    const status = JSON.parse((await at("status", "--json")).out);
    assert.equal(status.problems[0].code, "bad_config", "status is shown, with what is wrong");
    assert.equal((await at("log")).status, 0, "the log can be read whatever the config says");
  });
});

Deno.test("a damaged identity and a damaged database are named, and left as they are", async () => {
  await withHome(async (at, home) => {
    await at("init", "--name", "anna");
    await Deno.writeTextFile(home.certificatePath, "garbage");
    assertFails(await at("status"), 1, /cert\.pem/);
    assertFails(await at("init"), 1, /cert\.pem/);
    assert.equal(await Deno.readTextFile(home.certificatePath), "garbage");
    await Deno.writeTextFile(
      home.databasePath,
      "this is no database, and it is longer than a header of one ".repeat(30),
    );
    assertFails(await at("log"), 1, /mirrorsync\.db cannot be used/);
  });
});

Deno.test("run says that its own certificate is not valid yet, which no peer would take", async () => {
  await withHome(async (at, home, folder) => {
    await at("init", "--name", "anna");
    const { certificatePem, keyPem } = await createCertificate("anna", Date.now() + 3 * 86_400_000);
    await Deno.writeTextFile(home.certificatePath, certificatePem);
    await Deno.writeTextFile(`${home.directory}/key.pem`, keyPem);
    for (const name of ["w", "s"]) await Deno.mkdir(`${folder}/${name}`);
    const done = await at("run", "--watched", `${folder}/w`, "--synced", `${folder}/s`, "--once");
    assert.equal(done.status, 4);
    assert.match(done.err, /certificate is not valid before .*set this computer's clock/);
  });
});
