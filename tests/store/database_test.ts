import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { Database } from "../../src/store/database.ts";
import { localNote } from "../../src/store/log.ts";
import { MIGRATIONS } from "../../src/store/migrations.ts";
import { Store } from "../../src/store/store.ts";
import { sha256 } from "../helpers/tree.ts";
import { tempFolder } from "../receive/support.ts";

const PEER = { name: "bert", fingerprint: "b".repeat(64), certificatePem: "", address: null, addedMs: 0 };

const hasCode = (code: string) => (error: unknown) => error instanceof MirrorError && error.code === code;

function path(text: string): RelativePath {
  return text as RelativePath;
}

function pend(store: Store, peer: number, text: string): void {
  store.pending.put({
    peer,
    path: path(text),
    action: "create",
    kind: "file",
    sizeBytes: 1,
    sinceMs: 0,
    movedTo: null,
    movedFrom: null,
  });
}

Deno.test("store: a new database gets every migration, and opening it again changes nothing", async () => {
  await using temp = await tempFolder();
  const file = `${temp.path}/db.sqlite`;
  {
    using store = new Store(file);
    store.peers.add(PEER);
  }
  using store = new Store(file);
  assert.equal(store.peers.byName("bert")?.fingerprint, PEER.fingerprint);
  using client = new DatabaseSync(file, { readOnly: true });
  assert.equal(client.prepare("PRAGMA user_version").get()!["user_version"], MIGRATIONS.length);
});

/** A database as an older program has left it. */
function makeOld(file: string, version: number): void {
  using client = new DatabaseSync(file);
  client.exec("PRAGMA journal_mode = WAL");
  for (const migration of MIGRATIONS.slice(0, version)) client.exec(migration);
  client.exec(`PRAGMA user_version = ${version}`);
  const add = client.prepare(
    "INSERT INTO peers (name, fingerprint, certificate, added_ms) VALUES (?, ?, '', 0)",
  );
  add.run("bert", PEER.fingerprint);
  // Its number is never given again, which no row tells.
  add.run("gone", "c".repeat(64));
  client.exec("DELETE FROM peers WHERE name = 'gone'");
}

/** Everything in a database. */
function dump(file: string): unknown {
  using client = new DatabaseSync(file, { readOnly: true });
  const schema = client.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").all();
  const rows = schema.filter(({ type }) => type === "table").map(({ name }) =>
    [name, client.prepare(`SELECT * FROM "${name}"`).all()] as const
  );
  return { schema, rows, version: client.prepare("PRAGMA user_version").get() };
}

Deno.test("store: an older database is brought up to date, and a copy of it is kept for the older program", async () => {
  await using temp = await tempFolder();
  for (let version = 1; version < MIGRATIONS.length; version++) {
    const file = `${temp.path}/${version}.sqlite`;
    makeOld(file, version);
    const before = dump(file);
    {
      using store = new Store(file);
      assert.equal(store.peers.byName("bert")?.fingerprint, PEER.fingerprint);
    }
    const copy = `${file}.schema-${version}`;
    if (Deno.build.os !== "windows") assert.equal((await Deno.stat(copy)).mode! & 0o777, 0o600);
    assert.deepEqual(dump(copy), before);
    using client = new DatabaseSync(copy, { readOnly: true });
    assert.equal(client.prepare("PRAGMA integrity_check").get()!["integrity_check"], "ok");
  }
  const names = (await Array.fromAsync(Deno.readDir(temp.path))).map(({ name }) => name);
  assert.equal(names.length, 2 * (MIGRATIONS.length - 1), names.join(", "));
});

Deno.test("store: an older database of which no copy can be kept is left as it is", async () => {
  await using temp = await tempFolder();
  const file = `${temp.path}/db.sqlite`;
  makeOld(file, 3);
  const before = sha256(await Deno.readFile(file));
  await Deno.mkdir(`${file}.schema-3/in the way`, { recursive: true });
  assert.throws(() => new Store(file), (error) => {
    assert.ok(hasCode("failed")(error));
    assert.match((error as Error).message, /schema-3, cannot be written .*: make room .* left as it is/);
    return true;
  });
  assert.equal(sha256(await Deno.readFile(file)), before);
  const names = (await Array.fromAsync(Deno.readDir(temp.path))).map(({ name }) => name);
  assert.deepEqual(names.sort(), ["db.sqlite", "db.sqlite.schema-3"]);
});

for (const journal of ["wal", "delete"]) {
  Deno.test(`store: a newer database is refused and left untouched (journal mode ${journal})`, async () => {
    await using temp = await tempFolder();
    const file = `${temp.path}/db.sqlite`;
    {
      using client = new DatabaseSync(file);
      client.exec(
        `PRAGMA journal_mode = ${journal}; CREATE TABLE of_the_future (x); PRAGMA user_version = 99`,
      );
    }
    const before = sha256(await Deno.readFile(file));
    assert.throws(() => new Store(file), hasCode("newer_database"));
    assert.equal(sha256(await Deno.readFile(file)), before);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(temp.path))).map(({ name }) => name), ["db.sqlite"]);
  });
}

Deno.test("store: a damaged file is refused with the way out, and left untouched", async () => {
  await using temp = await tempFolder();
  const text = new TextEncoder().encode("This is no database, it is somebody's letter. ".repeat(300));
  for (const [i, content] of [text, crypto.getRandomValues(new Uint8Array(8192))].entries()) {
    const file = `${temp.path}/${i}.sqlite`;
    await Deno.writeFile(file, content);
    assert.throws(() => new Store(file), (error) => {
      assert.ok(hasCode("damaged_database")(error));
      assert.match((error as Error).message, /move it away/);
      return true;
    });
    assert.deepEqual(await Deno.readFile(file), content);
  }
});

Deno.test("store: a database whose pages are damaged is refused when it is opened", async () => {
  await using temp = await tempFolder();
  const file = `${temp.path}/db.sqlite`;
  {
    using store = new Store(file);
    const { number } = store.peers.add(PEER);
    store.transaction(() => {
      for (let i = 0; i < 2000; i++) pend(store, number, `some/long/path/${i}`);
    });
  }
  const bytes = await Deno.readFile(file);
  // Everything after the page of the schema.
  bytes.fill(0xaa, 4096);
  await Deno.writeFile(file, bytes);
  const open = () => {
    using store = new Store(file);
    store.peers.list();
  };
  assert.throws(open, hasCode("damaged_database"));
});

Deno.test("store: a write waits while another process holds the lock for a moment", async () => {
  await using temp = await tempFolder();
  const file = `${temp.path}/db.sqlite`;
  using store = new Store(file);
  const script = `
    import { DatabaseSync } from "node:sqlite";
    const db = new DatabaseSync(${JSON.stringify(file)});
    db.exec("BEGIN IMMEDIATE; INSERT INTO facts VALUES ('other', '1')");
    console.log("locked");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    db.exec("COMMIT");
  `;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", script], stdout: "piped" }).spawn();
  const reader = child.stdout.getReader();
  assert.match(new TextDecoder().decode((await reader.read()).value), /locked/);
  const before = store.foreignChanges();
  const start = performance.now();
  store.facts.set("mine", 2);
  const waitedMs = performance.now() - start;
  assert.ok(waitedMs > 50, `the lock was held, and the write took ${waitedMs} ms`);
  assert.equal(store.facts.get("other"), 1);
  assert.equal(store.facts.get("mine"), 2);
  assert.notEqual(store.foreignChanges(), before, "another process has changed something");
  await reader.cancel();
  assert.equal((await child.status).success, true);
});

Deno.test("store: any SQLite client reads the tables while the program works", async () => {
  await using temp = await tempFolder();
  const file = `${temp.path}/db.sqlite`;
  using store = new Store(file);
  const { number } = store.peers.add(PEER);
  pend(store, number, "a");
  store.log.add(localNote(Date.UTC(2026, 0, 2), "skip", "x", "symlink", "not sent"));
  using client = new DatabaseSync(file, { readOnly: true });
  store.transaction(() => {
    pend(store, number, "b");
    // In the middle of a write the reader sees what was before, and does not wait.
    assert.deepEqual(client.prepare("SELECT path FROM pending").all().map((row) => row["path"]), ["a"]);
  });
  assert.equal(client.prepare("SELECT count(*) AS n FROM pending").get()!["n"], 2);
  const row = client.prepare("SELECT * FROM log").get()!;
  assert.equal(row["at"], "2026-01-02T00:00:00.000Z");
  const columns = Object.keys(row);
  for (
    const column of [
      ...["id", "direction", "action", "path", "size", "hash", "timestamp", "sender", "status", "error"],
      ...["wire_bytes", "at"],
    ]
  ) assert.ok(columns.includes(column), column);
});

Deno.test("store: a transaction that throws leaves nothing, and the next one works", () => {
  using store = new Store(":memory:");
  const { number } = store.peers.add(PEER);
  assert.throws(() =>
    store.transaction(() => {
      pend(store, number, "a");
      store.transaction(() => pend(store, number, "b"));
      throw new Error("no");
    }), /no/);
  assert.deepEqual(store.pending.list(number), []);
  store.transaction(() => pend(store, number, "c"));
  assert.equal(store.pending.list(number).length, 1);
});

Deno.test("store: a relaxed transaction is whole or not there, and what follows waits for the disk again", () => {
  using database = new Database(":memory:");
  const synchronous = () => database.get("PRAGMA synchronous")!["synchronous"];
  const FULL = 2, NORMAL = 1;
  const set = (key: string) => database.run("INSERT INTO facts VALUES (?, '1')", key);
  database.relaxedTransaction(() => {
    assert.equal(synchronous(), NORMAL);
    set("a");
  });
  assert.equal(synchronous(), FULL);
  assert.throws(() =>
    database.relaxedTransaction(() => {
      set("b");
      throw new Error("refused");
    }), /refused/);
  assert.equal(synchronous(), FULL);
  database.transaction(() => database.relaxedTransaction(() => assert.equal(synchronous(), FULL)));
  assert.deepEqual(database.all("SELECT key FROM facts").map(({ key }) => key), ["a"]);
});

Deno.test("store: an observation is confirmed only while it is the one that was sent", () => {
  using store = new Store(":memory:");
  const stat = {
    kind: "file",
    sizeBytes: 3,
    mtimeMs: 5,
    ctimeMs: 1000,
    inode: 7,
    device: 8,
    executable: false,
  } as const;
  const { kind, sizeBytes, mtimeMs, executable } = stat;
  const state = { kind, sizeBytes, mtimeMs, executable, hash: "f".repeat(64) };
  const observed = { ...stat, path: path("f"), diskPath: "f", hash: null, provisional: false, held: null };
  assert.equal(store.observed.confirm(path("f"), state, stat, true), false, "nothing is observed");
  store.observed.put(observed);
  for (const other of [{ sizeBytes: 4 }, { mtimeMs: 6 }, { executable: true }]) {
    assert.equal(store.observed.confirm(path("f"), { ...state, ...other }, stat, true), false);
  }
  for (const other of [{ ctimeMs: 2000 }, { inode: 9 }, { device: 9 }]) {
    assert.equal(store.observed.confirm(path("f"), state, { ...stat, ...other }, true), false);
  }
  assert.equal(store.observed.get(path("f"))?.hash, null);
  assert.equal(store.observed.confirm(path("f"), state, stat, true), true);
  assert.deepEqual(store.observed.get(path("f")), { ...observed, hash: state.hash, provisional: true });
});

Deno.test("store: removing a peer frees its paths; replacing it hands them on", () => {
  using store = new Store(":memory:");
  const { number } = store.peers.add(PEER);
  const state = { kind: "file", sizeBytes: 1, mtimeMs: 1, executable: false, hash: "0".repeat(64) } as const;
  const disk = { sizeBytes: 1, mtimeMs: 1, ctimeMs: 1, inode: 1, device: 1 };
  store.synced.put({ path: path("a"), peer: number, state, disk });
  store.acked.put(number, path("a"), state);
  pend(store, number, "a");
  const replaced = store.peers.replace("bert", { ...PEER, fingerprint: "c".repeat(64) });
  assert.equal(replaced.number, number);
  assert.notEqual(store.synced.get(number, path("a")), null);
  store.peers.remove("bert");
  assert.equal([...store.synced.each(number)].length, 0);
  assert.equal(store.acked.count(number), 0);
  assert.deepEqual(store.pending.list(number), []);
  assert.notEqual(store.peers.add(PEER).number, number, "a number is never given twice");
});

Deno.test("store: what lies below a folder is that and nothing else", () => {
  using store = new Store(":memory:");
  const { number } = store.peers.add(PEER);
  const state = { kind: "folder", sizeBytes: 0, mtimeMs: 0, executable: false, hash: "" } as const;
  const all = ["a", "a!", "a-b", "a/", "a/b", "a/b/c", "a/\u{10ffff}", "a0", "a0/b", "b", "\u{1f600}/x", "é"];
  for (const text of all) store.acked.put(number, path(text), state);
  const below = store.acked.below(number, "a").map((entry) => entry.path);
  assert.deepEqual(below, ["a/", "a/b", "a/b/c", "a/\u{10ffff}"]);
  assert.equal(store.acked.below(number, "").length, all.length);
  assert.deepEqual(store.acked.below(number, "\u{1f600}").map((entry) => entry.path), ["\u{1f600}/x"]);
});

Deno.test("store: the log keeps what is younger than its age", () => {
  using store = new Store(":memory:");
  for (let day = 0; day < 10; day++) {
    store.log.add(localNote(Date.UTC(2026, 0, 1 + day), "skip", `day${day}`, "symlink", ""));
  }
  assert.equal(store.log.prune(Date.UTC(2026, 0, 8)), 7);
  assert.deepEqual(store.log.newest(100, null).map((row) => row.path), ["day9", "day8", "day7"]);
  assert.deepEqual(store.log.newest(100, "*8").map((row) => row.path), ["day8"]);
});

Deno.test("store: the audit trail counts what repeats itself in one row, and keeps a row until its last time is old", () => {
  using store = new Store(":memory:");
  const number = store.audit.record({
    atMs: 1000,
    kind: "peer_refused",
    subject: "[::1]",
    detail: "a stranger",
  });
  store.audit.record({ atMs: 2000, kind: "login", who: "anna", subject: "anna", detail: "logged in" });
  store.audit.again(number, 41, 60_000);
  const [login, refused] = store.audit.newest(10);
  assert.deepEqual({ ...login }, {
    ...{ number: number + 1, atMs: 2000, kind: "login", who: "anna", subject: "anna", detail: "logged in" },
    ...{ times: 1, lastMs: 2000 },
  });
  assert.deepEqual([refused!.who, refused!.atMs, refused!.times, refused!.lastMs], [null, 1000, 42, 60_000]);
  assert.equal(store.audit.prune(59_999), 1);
  assert.deepEqual(store.audit.newest(10).map(({ kind }) => kind), ["peer_refused"]);
});

Deno.test("store: a peer's next certificate is trusted beside the present one, and then in its place", () => {
  using store = new Store(":memory:");
  const bert = store.peers.add(PEER);
  const carl = store.peers.add({ ...PEER, name: "carl", fingerprint: "c".repeat(64) });
  const next = { fingerprint: "d".repeat(64), certificatePem: "next" };
  store.peers.announceNext(bert.number, { fingerprint: "e".repeat(64), certificatePem: "before" });
  store.peers.announceNext(bert.number, next);
  assert.throws(() => store.peers.announceNext(carl.number, next), hasCode("bad_certificate"));
  assert.throws(() => store.peers.announceNext(carl.number, PEER), hasCode("bad_certificate"));
  assert.deepEqual(
    store.peers.pinned().map(({ fingerprint, announcedBy }) => [fingerprint[0], announcedBy?.[0] ?? null]),
    [["b", null], ["d", "b"], ["c", null]],
  );
  assert.equal(store.peers.promoteNext("e".repeat(64)), null);
  assert.equal(store.peers.promoteNext(next.fingerprint)?.number, bert.number);
  assert.equal(store.peers.byFingerprint(PEER.fingerprint), null, "the old one is trusted no more");
  assert.deepEqual(store.peers.pinned().map(({ fingerprint }) => fingerprint[0]), ["d", "c"]);

  store.peers.announceNext(bert.number, { fingerprint: "f".repeat(64), certificatePem: "last" });
  store.peers.markTook(bert.number, "a".repeat(64));
  const added = store.peers.add({ ...PEER, fingerprint: "f".repeat(64) });
  assert.equal(added.number, bert.number, "adding what was announced by hand is no other peer");
  assert.equal(added.tookFingerprint, null);
});

Deno.test("store: an invite is open until it is used, ended or expired", () => {
  using store = new Store(":memory:");
  const verifier = { storedKey: new Uint8Array(32), replyKey: new Uint8Array(32).fill(1) };
  store.invites.add({ id: "a", verifier, expiresMs: 1000 }, 0);
  assert.deepEqual(store.invites.byId("a")?.verifier, verifier);
  assert.deepEqual([999, 1000].map((nowMs) => store.invites.anyOpen(nowMs)), [true, false]);
  store.invites.markUsed("a", PEER.fingerprint);
  assert.deepEqual([store.invites.anyOpen(0), store.invites.anyAnswered(0)], [false, true]);
  store.invites.add({ id: "b", verifier, expiresMs: 1000 }, 0);
  assert.deepEqual([1, 2, 3, 4].map(() => store.invites.countWrongTry("b")), [1, 2, 3, 4]);
  assert.equal(store.invites.anyOpen(0), true);
  store.invites.countWrongTry("b");
  assert.equal(store.invites.byId("b")?.state, "locked");
  assert.deepEqual([store.invites.anyOpen(0), store.invites.anyAnswered(1000)], [false, false]);
  store.invites.add({ id: "c", verifier, expiresMs: 10 * 86_400_000 }, 9 * 86_400_000);
  assert.equal(store.invites.byId("a"), null, "what is long over is forgotten");
});

Deno.test("a database that cannot grow says that the disk is full, and goes on when there is room", () => {
  using db = new Database(":memory:");
  db.run("CREATE TABLE t (x)");
  const { page_count: pages } = db.get("PRAGMA page_count")!;
  db.run(`PRAGMA max_page_count = ${Number(pages)}`);
  const fill = () => db.transaction(() => db.run("INSERT INTO t VALUES (zeroblob(100000))"));
  assert.throws(fill, hasCode("no_space"));
  assert.deepEqual(db.all("SELECT * FROM t"), []);
  db.run("PRAGMA max_page_count = 100000");
  fill();
  assert.equal(db.all("SELECT * FROM t").length, 1);
});

Deno.test("a database whose disk was full does not take all the room there is again for its write-ahead log", async () => {
  await using temp = await tempFolder();
  const file = `${temp.path}/db.sqlite`;
  using db = new Database(file);
  db.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)");
  const { page_count: pages } = db.get("PRAGMA page_count")!;
  const put = (k: number, bytes: number) =>
    db.transaction(() => db.run("REPLACE INTO t VALUES (?, zeroblob(?))", k, bytes));
  db.run(`PRAGMA max_page_count = ${Number(pages) + 50}`);
  assert.throws(() => put(0, 1_000_000), hasCode("no_space"));
  for (let i = 0; i < 300; i++) put(i % 10, 10_000);
  assert.ok((await Deno.stat(`${file}-wal`)).size < 1_000_000, "it took 3 MB of commits");
});
