import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { MIGRATIONS } from "../../src/store/migrations.ts";
import { eventually } from "../helpers/eventually.ts";
import { isObject, jsonValues, objectsIn, stringsIn } from "../helpers/json.ts";
import { fingerprintOf, makeIdentity, operation, PlainClient } from "../helpers/plain_client.ts";
import { freePort, mirrorsync, type Outcome, runningPair, said, World } from "../helpers/program.ts";
import { assertFile, exists, put, snapshot } from "../helpers/tree.ts";

/** Fails unless a command ended as a user can bear: the right status, a message on stderr, nothing else on stdout, no stack. */
function assertClearError(outcome: Outcome, codes: readonly number[], mentions: RegExp): void {
  assert.ok(
    codes.includes(outcome.code),
    `ended with ${outcome.code}, not ${codes.join(" or ")}\n${said(outcome)}`,
  );
  assert.match(outcome.stderr, mentions);
  assert.doesNotMatch(outcome.stderr, /^\s+at .*:\d+:\d+\)?$/m, "a stack trace is no message for a user");
  assert.doesNotMatch(outcome.stderr, /\[object Object\]|undefined|Uncaught/);
  assert.equal(outcome.stdout, "", "errors go to stderr only");
}

function escaped(text: string): RegExp {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
}

Deno.test("help, version and wrong usage", async () => {
  await using world = await World.create();
  const home = `${world.folder}/home`;
  const [help, version, runHelp, peerHelp, ...wrong] = await Promise.all([
    mirrorsync(["--help"]),
    mirrorsync(["--version"]),
    mirrorsync(["run", "--help"]),
    mirrorsync(["peer", "add", "--help"]),
    ...[["frobnicate"], ["run", "--frobnicate"], ["peer", "add"], ["peer", "frobnicate"], [
      "--frobnicate",
      "status",
    ]]
      .concat([["log", "--limit", "many"], ["peer", "remove"]])
      .map((args) => mirrorsync(["--home", home, ...args])),
  ]);
  assert.equal(help.code, 0);
  for (
    const word of [
      "init",
      "identity",
      "peer",
      "run",
      "status",
      "log",
      "pending",
      "verify",
      "--home",
      "--json",
    ]
  ) {
    assert.ok(help.stdout.includes(word), `--help does not mention ${word}`);
  }
  assert.equal(version.code, 0);
  assert.match(version.stdout, /\d+\.\d+\.\d+/);
  assert.equal(runHelp.code, 0);
  for (const word of ["--watched", "--synced", "--listen", "--peer", "--once"]) {
    assert.ok(runHelp.stdout.includes(word));
  }
  assert.equal(peerHelp.code, 0);
  assert.ok(peerHelp.stdout.includes("--address"));
  for (const outcome of wrong) assertClearError(outcome, [2], /\S/);
  assert.equal(await exists(home), false, "wrong usage makes no home");
});

Deno.test("init, identity and peer", async (t) => {
  await using world = await World.create();
  const home = `${world.folder}/home`;
  const at = (...args: string[]) => mirrorsync(["--home", home, ...args]);
  let fingerprint = "";

  await t.step("init makes an identity once and can be run again", async () => {
    const first = await at("init", "--name", "anna", "--listen", "127.0.0.1:0");
    assert.equal(first.code, 0, said(first));
    assert.ok(first.stdout.includes(home), "it says where things are");
    const certificate = await at("identity", "--cert");
    assert.equal(certificate.code, 0);
    assert.match(certificate.stdout, /^-----BEGIN CERTIFICATE-----\n[\s\S]+-----END CERTIFICATE-----\n$/);
    fingerprint = fingerprintOf(certificate.stdout);
    const again = await at("init");
    assert.equal(again.code, 0, said(again));
    assert.equal((await at("identity", "--cert")).stdout, certificate.stdout);
  });

  await t.step("identity gives name and fingerprint, by --json before or after the command", async () => {
    const text = await at("identity");
    assert.ok(text.stdout.includes("anna"));
    const plain = text.stdout.replaceAll(":", "").toLowerCase();
    assert.ok(plain.includes(fingerprint), `not the certificate's SHA-256: ${text.stdout}`);
    for (const args of [["identity", "--json"], ["--json", "identity"]]) {
      const value: unknown = JSON.parse((await at(...args)).stdout);
      assert.ok(isObject(value));
      assert.equal(value.name, "anna");
      assert.equal(value.fingerprint, fingerprint);
    }
  });

  await t.step("the private key is for its owner only", async () => {
    let keys = 0;
    for (const [path, entry] of await snapshot(home)) {
      if (entry.kind !== "file") continue;
      const text = await Deno.readTextFile(`${home}/${path}`).catch(() => "");
      if (!text.includes("PRIVATE KEY")) continue;
      keys++;
      assert.equal((await Deno.stat(`${home}/${path}`)).mode! & 0o777, 0o600, path);
    }
    assert.equal(keys, 1);
  });

  await t.step("the home can come from MIRRORSYNC_HOME; --home wins", async () => {
    const outcome = await mirrorsync(["identity", "--json"], { env: { MIRRORSYNC_HOME: home } });
    assert.equal(outcome.code, 0, said(outcome));
    assert.match(outcome.stdout, escaped(fingerprint));
    const other = `${world.folder}/other home`;
    assert.equal((await mirrorsync(["--home", other, "init"], { env: { MIRRORSYNC_HOME: home } })).code, 0);
    const otherIdentity = await mirrorsync(["--home", other, "identity"], { env: { MIRRORSYNC_HOME: home } });
    assert.equal(otherIdentity.code, 0);
    assert.doesNotMatch(otherIdentity.stdout.replaceAll(":", "").toLowerCase(), escaped(fingerprint));
  });

  await t.step("peer add, list and remove", async () => {
    const friend = await makeIdentity("friend");
    const path = `${world.folder}/friend's certificate.pem`;
    await Deno.writeTextFile(path, friend.certificate);
    const added = await at("peer", "add", path, "--name", "friend", "--address", "[::1]:7000");
    assert.equal(added.code, 0, said(added));
    const list = await at("peer", "list");
    assert.match(list.stdout, /friend/);
    const listed = objectsIn(jsonValues((await at("peer", "list", "--json")).stdout));
    const entry = listed.find((each) => each.name === "friend");
    assert.equal(entry?.fingerprint, friend.fingerprint);
    assert.ok(stringsIn(entry).some((text) => text.includes("7000")), "the address is shown");
    assertClearError(await at("peer", "remove", "nobody"), [4], /nobody/);
    assert.equal((await at("peer", "remove", "friend")).code, 0);
    const left = objectsIn(jsonValues((await at("peer", "list", "--json")).stdout));
    assert.deepEqual(left.filter((each) => each.name === "friend"), []);
  });

  await t.step("peer add of what is no certificate", async () => {
    const good = await makeIdentity("good");
    const lines = good.certificate.trim().split("\n");
    for (
      const [name, content] of [
        ["empty.pem", ""],
        ["garbage.pem", "garbage"],
        ["key.pem", good.key],
        ["cut.pem", `${lines[0]}\n${lines[1]}\n${lines.at(-1)}\n`],
        ["binary.pem", crypto.getRandomValues(new Uint8Array(500))],
      ] as const
    ) {
      await put(`${world.folder}/${name}`, content);
      assertClearError(await at("peer", "add", `${world.folder}/${name}`), [1, 2], escaped(name));
    }
    assertClearError(await at("peer", "add", `${world.folder}/not there.pem`), [1, 2], /not there\.pem/);
    assertClearError(await at("peer", "add", world.folder), [1, 2], escaped(world.folder));
    await put(`${world.folder}/good.pem`, good.certificate);
    assertClearError(
      await at("peer", "add", `${world.folder}/good.pem`, "--address", "no port"),
      [1, 2],
      /no port/,
    );
    assertClearError(
      await at("peer", "add", `${world.folder}/good.pem`, "--address", "h:99999"),
      [1, 2],
      /99999/,
    );
    const listed = objectsIn(jsonValues((await at("peer", "list", "--json")).stdout));
    assert.deepEqual(listed.filter((each) => each.fingerprint === good.fingerprint), []);
  });

  await t.step("commands on a home that is not there say so", async () => {
    const nowhere = `${world.folder}/nowhere`;
    for (const command of ["status", "log", "pending", "identity"]) {
      const outcome = await mirrorsync(["--home", nowhere, command]);
      assertClearError(outcome, [1, 2], escaped(nowhere));
    }
  });
});

Deno.test("run refuses what cannot work, clearly, and loses nothing", async (t) => {
  await using world = await World.create();
  const peer = await world.peer("anna");
  const run = (...args: string[]) =>
    mirrorsync(["--home", peer.home, "run", "--listen", peer.address, ...args]);
  await put(`${peer.watched}/file`, "file");
  await put(`${peer.synced}/file`, "other file");

  await t.step("watched and synced equal, nested, missing, files, around the home", async () => {
    await Deno.symlink(peer.watched, `${peer.folder}/alias`);
    for (const folder of [`${peer.watched}/inside`, `${peer.synced}/inside`, `${world.folder}/elsewhere`]) {
      await Deno.mkdir(folder);
    }
    for (
      const [watched, synced, mentions] of [
        [peer.watched, peer.watched, peer.watched],
        [peer.watched, `${peer.watched}/`, peer.watched],
        [peer.watched, `${peer.folder}/alias`, peer.folder],
        [peer.watched, `${peer.watched}/inside`, peer.watched],
        [`${peer.synced}/inside`, peer.synced, peer.synced],
        [`${peer.folder}/missing`, peer.synced, `${peer.folder}/missing`],
        [`${peer.watched}/file`, peer.synced, `${peer.watched}/file`],
        [peer.watched, `${peer.synced}/file`, `${peer.synced}/file`],
        [peer.folder, `${world.folder}/elsewhere`, peer.folder],
        [peer.home, peer.synced, peer.home],
        ["~/missing here", peer.synced, `${Deno.env.get("HOME")}/missing here`],
      ] as const
    ) {
      const outcome = await run("--watched", watched, "--synced", synced);
      assertClearError(outcome, [1, 2], escaped(mentions));
    }
    assert.equal(await Deno.readTextFile(`${peer.watched}/file`), "file");
    assert.equal(await Deno.readTextFile(`${peer.synced}/file`), "other file");
    await Deno.remove(`${peer.folder}/alias`);
    await Deno.remove(`${peer.watched}/inside`);
    await Deno.remove(`${peer.synced}/inside`);
  });

  await t.step("a port in use", async () => {
    using _listener = Deno.listen({ hostname: "127.0.0.1", port: peer.port });
    const outcome = await run("--watched", peer.watched, "--synced", peer.synced);
    assertClearError(outcome, [1], new RegExp(String(peer.port)));
  });

  await t.step("an address that is none", async () => {
    for (
      const [flag, value] of [["--listen", "127.0.0.1:99999"], ["--peer", "host:port"], [
        "--listen",
        ":::",
      ], ["--peer", "host:0"]] as const
    ) {
      const args = ["--watched", peer.watched, "--synced", peer.synced, flag, value];
      assertClearError(await mirrorsync(["--home", peer.home, "run", ...args]), [1, 2], escaped(value));
    }
  });

  await t.step("a home in use: 5, while reading commands work", async () => {
    await peer.start();
    const second = await mirrorsync(
      [
        "--home",
        peer.home,
        "run",
        "--watched",
        peer.watched,
        "--synced",
        peer.synced,
        "--listen",
        "127.0.0.1:0",
      ],
    );
    assertClearError(second, [5], escaped(peer.home));
    for (const command of ["status", "log", "pending", "identity"]) await peer.ok(command);
    assert.equal(peer.running?.code, null);
  });

  await t.step("after a kill the home is free again", async () => {
    await peer.kill();
    await peer.start();
    await peer.stop();
  });

  await t.step("a damaged config", async () => {
    const config = `${peer.home}/mirrorsync.toml`;
    const good = await Deno.readTextFile(config);
    for (const damaged of ["= = =", `${good}\n[[[`, "\0\0\0", 'watched = ["a", 5]']) {
      await Deno.writeTextFile(config, damaged);
      const outcome = await run("--watched", peer.watched, "--synced", peer.synced);
      assertClearError(outcome, [1, 2], /mirrorsync\.toml/);
    }
    await Deno.writeTextFile(config, good);
    assert.match(good, /^\s*#/m, "the config is commented");
  });

  await t.step("a damaged certificate and a damaged key", async () => {
    for (const marker of ["BEGIN CERTIFICATE", "PRIVATE KEY"]) {
      const path = await fileWith(peer.home, marker);
      const good = await Deno.readTextFile(path);
      for (const damaged of ["", "garbage", good.slice(0, good.length / 2)]) {
        await Deno.writeTextFile(path, damaged);
        const outcome = await run("--watched", peer.watched, "--synced", peer.synced);
        assertClearError(outcome, [1], escaped(path.slice(path.lastIndexOf("/") + 1)));
        assert.equal(await Deno.readTextFile(path), damaged, "what is damaged is not replaced in silence");
      }
      await Deno.writeTextFile(path, good);
    }
    await peer.start();
    await peer.stop();
  });
});

/** The one file below the home (outside folders of other peers) whose text contains `marker`. */
async function fileWith(home: string, marker: string): Promise<string> {
  for (const [path, entry] of await snapshot(home)) {
    if (entry.kind !== "file" || entry.sizeBytes > 100_000) continue;
    if ((await Deno.readTextFile(`${home}/${path}`).catch(() => "")).includes(marker)) {
      return `${home}/${path}`;
    }
  }
  throw new Error(`no file with ${marker} in ${home}`);
}

Deno.test("run ends with 0 on SIGINT and SIGTERM, busy or idle, with and without a peer", async () => {
  await using peers = await runningPair();
  const { a, b } = peers;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    for (let i = 0; i < 300; i++) await put(`${a.watched}/${signal}/${i}`, `${i}`);
    const ends = [a, b].map(async (peer) => {
      const running = peer.running;
      assert.ok(running);
      assert.equal(await running.stop(signal), 0, said(running));
      peer.running = null;
    });
    await Promise.all(ends);
    await Promise.all([a.start(), b.start()]);
  }
  for (let i = 0; i < 300; i++) await assertFile(`${b.synced}/SIGTERM/${i}`, `${i}`);
});

Deno.test("run on a fresh home does what init does first", async () => {
  await using world = await World.create();
  const home = `${world.folder}/fresh/home`;
  await Deno.mkdir(`${world.folder}/watched`);
  await Deno.mkdir(`${world.folder}/synced`);
  const port = freePort();
  const folders = ["--watched", `${world.folder}/watched`, "--synced", `${world.folder}/synced`];
  const running = world.spawn(["--home", home, "run", ...folders, "--listen", `127.0.0.1:${port}`]);
  await eventually("the home has an identity", async () => {
    const outcome = await mirrorsync(["--home", home, "identity", "--cert"]);
    assert.match(outcome.stdout, /BEGIN CERTIFICATE/);
  }, { hopeless: running.hopeless });
  await eventually("it listens", async () => {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
  }, { hopeless: running.hopeless });
  assert.equal(await running.stop(), 0, said(running));
});

Deno.test("status, log and pending while a pair runs", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;
  await put(`${a.watched}/docs/one.txt`, "one");
  await put(`${a.watched}/docs/two.md`, "two");
  await put(`${b.watched}/from bert.txt`, "three");
  await assertFile(`${b.synced}/docs/one.txt`, "one");
  await assertFile(`${b.synced}/docs/two.md`, "two");
  await assertFile(`${a.synced}/from bert.txt`, "three");

  await t.step("the database is readable by any SQLite client", async () => {
    assert.deepEqual(
      await a.query("PRAGMA integrity_check").then((rows) => rows.map((row) => Object.values(row))),
      [
        ["ok"],
      ],
    );
    await eventually("both directions are in the log of each", async () => {
      for (const peer of [a, b]) {
        const rows = await peer.query("SELECT * FROM log");
        const paths = new Set(rows.map((row) => row.path));
        for (const path of ["docs/one.txt", "docs/two.md", "from bert.txt"]) assert.ok(paths.has(path), path);
        for (
          const column of [
            "id",
            "direction",
            "action",
            "path",
            "size",
            "hash",
            "timestamp",
            "sender",
            "status",
          ]
        ) {
          assert.ok(Object.keys(rows[0] ?? {}).includes(column), `log has a column ${column}`);
        }
      }
    });
    const columns = await a.query("PRAGMA table_info(pending)");
    assert.ok(columns.some((column) => column.name === "path"));
  });

  await t.step("log, with --limit and --path, for humans and as JSON", async () => {
    assert.match((await a.ok("log")).stdout, /docs\/one\.txt/);
    assert.equal((await a.rows("docs/one.txt", "log")).length >= 1, true);
    const limited = (await a.objects("log", "--limit", "1")).filter((row) => typeof row.path === "string");
    assert.equal(limited.length, 1);
    const globbed = (await a.objects("log", "--path", "docs/*.txt")).map((row) => row.path);
    const paths = globbed.filter((path) => typeof path === "string");
    assert.ok(paths.length > 0);
    assert.deepEqual(new Set(paths), new Set(["docs/one.txt"]));
  });

  await t.step("status names the peer, and pending is empty", async () => {
    assert.match((await a.ok("status")).stdout, /bert/);
    assert.ok(stringsIn(await a.objects("status")).includes("bert"));
    await eventually("nothing is pending", async () => {
      const pending = (await a.objects("pending")).filter((row) => typeof row.path === "string");
      assert.deepEqual(pending, []);
    });
    await a.ok("pending", "list");
    assert.equal((await a.command("pending", "retry")).code, 0);
  });

  await t.step("they work when nothing runs, too, and when two read at once", async () => {
    await a.stop();
    const outcomes = await Promise.all(
      ["status", "log", "pending", "status"].map((command) => a.ok(command, "--json")),
    );
    for (const outcome of outcomes) jsonValues(outcome.stdout);
    assert.match((await a.ok("status")).stdout, /bert/);
    await put(`${a.watched}/docs/three.txt`, "3");
    await a.start();
    await assertFile(`${b.synced}/docs/three.txt`, "3");
  });

  await t.step("run --json prints JSON objects, a line each", async () => {
    await a.stop();
    const running = await a.start("--json");
    await put(`${a.watched}/docs/four.txt`, "4");
    await assertFile(`${b.synced}/docs/four.txt`, "4");
    await a.stop();
    for (const line of running.stdout.split("\n").filter((each) => each !== "")) {
      assert.ok(isObject(JSON.parse(line)), line);
    }
  });
});

Deno.test("--peer dials for this run, and one direction that can dial is enough", async (t) => {
  await using world = await World.create();
  const [a, b] = await Promise.all([world.peer("anna"), world.peer("bert")]);
  await Promise.all([a.trust(b.certificatePath), b.trust(a.certificatePath)]);
  await t.step("an address by host name", async () => {
    await b.start();
    await a.start("--peer", `localhost:${b.port}`);
    await put(`${a.watched}/x`, "x");
    await put(`${b.watched}/y`, "y");
    await assertFile(`${b.synced}/x`, "x");
    await assertFile(`${a.synced}/y`, "y");
  });
  await t.step("the address of init --listen is in the config and counts without a flag", async () => {
    await Promise.all([a.stop(), b.stop()]);
    const running = world.spawn(["--home", a.home, "run", "--watched", a.watched, "--synced", a.synced]);
    await eventually("it listens", async () => {
      (await Deno.connect({ hostname: "127.0.0.1", port: a.port })).close();
    }, { hopeless: running.hopeless });
    assert.equal(await running.stop(), 0, said(running));
  });

  await t.step({
    name: "an IPv6 address",
    ignore: !hasIPv6(),
    fn: async () => {
      const port = freePort();
      const folders = ["--watched", b.watched, "--synced", b.synced];
      const running = world.spawn(["--home", b.home, "run", ...folders, "--listen", `[::1]:${port}`]);
      await a.start("--peer", `[::1]:${port}`);
      await put(`${a.watched}/six`, "6");
      await assertFile(`${b.synced}/six`, "6", { hopeless: running.hopeless });
      await a.stop();
      assert.equal(await running.stop(), 0, said(running));
    },
  });

  await t.step("a trusted plain client is served by a run that nobody else talks to", async () => {
    const friend = await makeIdentity("friend");
    await Deno.writeTextFile(`${world.folder}/friend.pem`, friend.certificate);
    await a.trust(`${world.folder}/friend.pem`);
    await a.start();
    await using client = await PlainClient.connect({ port: a.port, server: a.certificate, identity: friend });
    await client.accepted(operation("create", "hello.txt", "hi"), "hi");
    assert.equal(await Deno.readTextFile(`${a.synced}/hello.txt`), "hi");
  });
});

function hasIPv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

Deno.test("cli: an older program's database is brought up to date with the permissions that the program ships with", async () => {
  await using world = await World.create();
  const peer = await world.peer("anna");
  const file = `${peer.home}/mirrorsync.db`;
  for (const end of ["", "-wal", "-shm"]) rmSync(file + end, { force: true });
  {
    using old = new DatabaseSync(file);
    for (const migration of MIGRATIONS.slice(0, 3)) old.exec(migration);
    old.exec("PRAGMA user_version = 3");
  }
  if (Deno.build.os !== "windows") await Deno.chmod(file, 0o600);
  await peer.ok("status");
  using copy = new DatabaseSync(`${file}.schema-3`, { readOnly: true });
  assert.equal(copy.prepare("PRAGMA user_version").get()!["user_version"], 3);
  using now = new DatabaseSync(file, { readOnly: true });
  assert.equal(now.prepare("PRAGMA user_version").get()!["user_version"], MIGRATIONS.length);
});
