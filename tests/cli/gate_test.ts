import assert from "node:assert/strict";
import { addUser, logIn } from "../../src/auth/accounts.ts";
import type { Auth } from "../../src/auth/auth.ts";
import { Passwords } from "../../src/auth/passwords.ts";
import { SESSION_LIFE_MS } from "../../src/auth/sessions.ts";
import { createToken, revokeToken } from "../../src/auth/tokens.ts";
import { Store } from "../../src/store/store.ts";
import { tempFolder } from "../receive/support.ts";
import { capture, type Captured } from "./capture.ts";

const DAY_MS = 86_400_000;
const PASSWORD = "correct horse";
/** What can be used by whoever is not logged in: `user reset` asks for another proof, `completions` has to do with no home. */
const OPEN = ["login", "user reset", "completions"];
/** What an operator may do; all the rest is for admins. */
const OPERATOR = [
  ...[
    "identity",
    "peer list",
    "run",
    "status",
    "log",
    "pending list",
    "pending retry",
    "verify",
    "service status",
  ],
  ...["trash list", "restore", "confirm", "doctor"],
  ...["logout", "passwd"],
];

/** Every command, with arguments that it takes, as `--help` tells of them. */
async function commands(path: readonly string[] = []): Promise<{ name: string; args: string[] }[]> {
  const { out } = await capture([...path, "--help"]);
  const listed = /^Commands:\n((?: .*\n)+)/m.exec(out)?.[1] ?? "";
  const names = [...listed.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name!).filter((name) =>
    name !== "help"
  );
  const below = (await Promise.all(names.map((name) => commands([...path, name])))).flat();
  if (names.length > 0 && !/^Exit status:$/m.test(out)) return below; // it does nothing by itself
  const usage = /^Usage: mirrorsync (.*)/m.exec(out)?.[1] ?? "";
  const args = [...path, ...[...usage.matchAll(/ <[^>]+>/g)].map(() => "x")];
  return [{ name: path.join(" "), args }, ...below];
}

/** A home with the admin anna and the operator bert. */
class Home implements AsyncDisposable {
  readonly path: string;
  readonly #temp: AsyncDisposable;

  private constructor(temp: AsyncDisposable & { path: string }) {
    this.#temp = temp;
    this.path = `${temp.path}/home`;
  }

  static async make(): Promise<Home> {
    const home = new Home(await tempFolder());
    assert.equal((await home.run(["init", "--name", "anna"])).status, 0);
    await home.with(async (auth) => {
      await addUser(auth, { kind: "owner", name: null, role: "admin" }, {
        ...{ name: "anna", role: null, password: PASSWORD },
      });
      await addUser(auth, { kind: "user", name: "anna", role: "admin" }, {
        ...{ name: "bert", role: null, password: PASSWORD },
      });
    });
    return home;
  }

  run(args: readonly string[], env: Record<string, string> = {}, stdin = ""): Promise<Captured> {
    return capture(["--home", this.path, ...args], env, stdin);
  }

  /** Works on the home's own database, as if it were `agoMs` ago. */
  async with<T>(work: (auth: Auth) => T | Promise<T>, agoMs = 0): Promise<T> {
    using store = new Store(`${this.path}/mirrorsync.db`);
    const passwords = new Passwords({ logN: 4, r: 1, p: 1 });
    return await work({ store, passwords, now: () => Date.now() - agoMs, command: (text) => text });
  }

  /** Leaves a session of somebody in the home, as `login` does. */
  async session(name: string, agoMs = 0): Promise<void> {
    const { secret } = await this.with((auth) => logIn(auth, name, PASSWORD), agoMs);
    await Deno.writeTextFile(`${this.path}/session`, secret + "\n", { mode: 0o600 });
  }

  token(role: "admin" | "operator", days: number, agoMs = 0): Promise<string> {
    return this.with((auth) => {
      const made = createToken(auth, { kind: "user", name: "anna", role: "admin" }, {
        name: null,
        role,
        days,
      });
      return made.secret;
    }, agoMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temp[Symbol.asyncDispose]();
  }
}

function assertRefused({ status, out, err }: Captured, name: string, mentions: RegExp): void {
  assert.equal(status, 3, `${name} ended with ${status}: ${err}`);
  assert.match(err, mentions, name);
  assert.equal(out, "", `${name} tells nothing`);
}

Deno.test("gate: every command without a session, with a stale one, with an ended token, and with the wrong role", async (t) => {
  await using home = await Home.make();
  const all = await commands();
  const closed = all.filter(({ name }) => !OPEN.includes(name));
  const known = [
    ...OPEN,
    ...OPERATOR,
    "init",
    "invite",
    "join",
    "identity rotate",
    "peer add",
    "peer remove",
    "user add",
    "user list",
    "token create",
    "service install",
    "service uninstall",
  ];
  for (const name of known) assert.ok(all.some((command) => command.name === name), `--help names ${name}`);

  await t.step("without a session", async () => {
    for (const { name, args } of closed) {
      assertRefused(await home.run(args), name, /log in with .*login NAME/);
    }
  });
  await t.step("with a session that was never one", async () => {
    await Deno.writeTextFile(`${home.path}/session`, "made up\n", { mode: 0o600 });
    for (const { name, args } of closed) assertRefused(await home.run(args), name, /log in with/);
  });
  await t.step("with a session that is over", async () => {
    await home.session("anna", SESSION_LIFE_MS + 1000);
    for (const { name, args } of closed) {
      assertRefused(await home.run(args), name, /session is over: log in with/);
    }
  });
  await t.step("with tokens that are expired, revoked or made up, whatever the session says", async () => {
    await home.session("anna");
    const expired = await home.token("admin", 1, 2 * DAY_MS);
    const revoked = await home.token("admin", 1);
    await home.with((auth) => revokeToken(auth, { kind: "user", name: "anna", role: "admin" }, "token-2"));
    for (const { name, args } of closed) {
      for (
        const [token, why] of [[expired, /expired/], [revoked, /revoked/], ["made up", /not known/]] as const
      ) {
        assertRefused(await home.run(args, { MIRRORSYNC_TOKEN: token }), name, why);
      }
    }
  });
  await t.step("as an operator, by session and by token", async () => {
    await home.session("bert");
    const token = await home.token("operator", 1);
    for (const { name, args } of closed.filter(({ name }) => !OPERATOR.includes(name))) {
      for (const env of [{}, { MIRRORSYNC_TOKEN: token }]) {
        assertRefused(await home.run(args, env), name, /needs the role admin/);
      }
    }
  });
  await t.step("an operator may look, by session and by token", async () => {
    const token = await home.token("operator", 1);
    for (
      const name of ["identity", "peer list", "status", "log", "log --audit", "pending list", "pending retry"]
    ) {
      for (const env of [{}, { MIRRORSYNC_TOKEN: token }]) {
        const { status, err } = await home.run(name.split(" "), env);
        assert.equal(status, 0, `${name}: ${err}`);
      }
    }
  });
  await t.step("help and version need nobody", async () => {
    await Deno.remove(`${home.path}/session`);
    for (const args of [["--help"], ["--version"], ["user", "add", "--help"], ["help", "run"]]) {
      assert.equal((await home.run(args)).status, 0, args.join(" "));
    }
  });
  await t.step("the refusals for a role are in the audit trail, bounded", async () => {
    const rows = await home.with(({ store }) => store.audit.newest(1000));
    const refused = rows.filter(({ kind, subject }) => kind === "command_refused" && subject === "peer add");
    assert.deepEqual(refused.map(({ who }) => who).sort(), ["bert", "token token-3"]);
  });
});

Deno.test("gate: the commands for users and tokens, from the first user to the last", async () => {
  await using temp = await tempFolder();
  const home = `${temp.path}/home`;
  const run = (args: string, env: Record<string, string> = {}, stdin = "") =>
    capture(["--home", home, ...args.split(" ")], env, stdin);
  const ok = async (args: string, stdin = "") => {
    const done = await run(args, {}, stdin);
    assert.equal(done.status, 0, `${args}: ${done.err}`);
    return done;
  };
  const refused = async (args: string, status: number, mentions: RegExp, stdin = "") => {
    const done = await run(args, {}, stdin);
    assert.equal(done.status, status, `${args}: ${done.err}`);
    assert.match(done.err, mentions);
  };
  await refused("user list", 1, /mirrorsync .*init/);
  await refused("login anna --password-stdin", 1, /init/, PASSWORD);
  await ok("init --name anna");
  assert.match((await ok("user list")).err, /no users/);
  await refused("token create", 1, /no users/);
  await refused("user reset --json", 0, /^$/);
  await refused("login anna --password-stdin", 1, /nothing to log in to/);
  await refused("user add anna", 2, /--password-stdin/);
  await refused("user add anna --password-stdin", 2, /one line/);
  await refused("user add anna --password-stdin", 2, /one line/, "correct horse\nbattery staple\n");
  await refused("user add anna --password-stdin", 2, /8 characters/, "short\n");
  await refused("user add anna --role boss --password-stdin", 2, /admin or operator/, PASSWORD);
  await refused("user add anna --role operator --password-stdin", 2, /first user must be an admin/, PASSWORD);
  await refused("user add -- -x", 2, /letters/, PASSWORD);

  const added = await ok("user add anna --password-stdin", PASSWORD + "\n");
  assert.match(added.out, /every command needs a login: .*login anna/);
  await refused("login anna --password-stdin", 3, /wrong/, "correct horse ");
  await ok("login anna --password-stdin", PASSWORD + "\r\n");
  if (Deno.build.os !== "windows") assert.equal((await Deno.stat(`${home}/session`)).mode! & 0o777, 0o600);
  await refused("user remove bert", 1, /user list/);
  await refused("token create --expires 0", 2, /1 to 3650/);
  await refused("token revoke nightly", 1, /token list/);
  const made = JSON.parse((await ok("token create --name nightly --expires 1 --json")).out);
  assert.deepEqual([made.name, made.role], ["nightly", "operator"]);
  assert.equal((await run("status", { MIRRORSYNC_TOKEN: made.token })).status, 0);
  assert.equal((await run("logout", { MIRRORSYNC_TOKEN: made.token })).status, 1, "a token is no session");
  const listed = await ok("token list --json");
  assert.deepEqual(
    JSON.parse(listed.out).map(({ state, madeBy }: Record<string, string>) => [state, madeBy]),
    [
      ["valid", "anna"],
    ],
  );
  assert.ok(!listed.out.includes(made.token));
  await ok("token revoke nightly");
  assert.equal((await run("status", { MIRRORSYNC_TOKEN: made.token })).status, 3);

  await refused("passwd --password-stdin", 2, /2 lines/, "battery staple\n");
  await refused("passwd --password-stdin", 3, /wrong/, "wrong horse\nbattery staple\n");
  await ok("passwd --password-stdin", `${PASSWORD}\nbattery staple\n`);
  await refused("status", 3, /log in/);
  await ok("login ANNA --password-stdin", "battery staple");
  await ok("logout");
  await refused("logout", 3, /not logged in/);
  await ok("login anna --password-stdin", "battery staple");
  const removed = await ok("user remove anna");
  assert.match(removed.err, /last user.*without a login/);
  await ok("user list");
  const kinds: string[] = JSON.parse((await ok("log --audit --json")).out).map(({ kind }: { kind: string }) =>
    kind
  );
  assert.ok(kinds.includes("login_failed"));
  assert.deepEqual(kinds.filter((kind) => kind !== "login_failed"), [
    ...["user_added", "login", "token_created", "token_revoked", "token_refused", "password_changed"],
    ...["login", "logout", "login", "user_removed"],
  ]);
  await refused("log --audit --path x", 2, /not about paths/);
});

Deno.test("gate: whoever owns the files gets in again after showing it", async () => {
  await using home = await Home.make();
  assertRefused(await home.run(["user", "reset"]), "user reset", /touch .*reset-users/);
  await Deno.mkdir(`${home.path}/reset-users`);
  assertRefused(await home.run(["user", "reset"]), "user reset", /touch .*reset-users/);
  await Deno.remove(`${home.path}/reset-users`);
  await Deno.writeTextFile(`${home.path}/reset-users`, "");
  const { status, out } = await home.run(["user", "reset", "--json"]);
  assert.deepEqual([status, JSON.parse(out)], [0, { users: 2, tokens: 0 }]);
  assert.equal((await home.run(["user", "list"])).status, 0);
  assert.deepEqual([...Deno.readDirSync(home.path)].filter(({ name }) => name === "reset-users"), []);
});

Deno.test({
  name:
    "gate: a home that others can change or read, or that is somebody else's, is refused with what mends it",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using home = await Home.make();
    await home.session("anna");
    const { path } = home;
    for (
      const [file, bad, command] of [
        [path, 0o770, `chmod 700 ${path}`],
        [`${path}/session`, 0o644, `chmod 600 ${path}/session`],
        [`${path}/mirrorsync.db`, 0o640, `chmod 600 ${path}/mirrorsync.db`],
        [`${path}/mirrorsync.toml`, 0o666, `chmod 600 ${path}/mirrorsync.toml`],
        [`${path}/cert.pem`, 0o622, `chmod 644 ${path}/cert.pem`],
        [`${path}/key.pem`, 0o640, `chmod 600 ${path}/key.pem`],
      ] as const
    ) {
      await Deno.chmod(file, bad);
      const { status, err } = await home.run(["identity"]);
      assert.equal(status, 1, err);
      assert.ok(err.includes(command), `${err} does not say ${command}`);
      const run = await new Deno.Command("sh", { args: ["-c", command] }).output();
      assert.equal(run.code, 0);
      assert.equal((await home.run(["identity"])).status, 0, `${command} mends it`);
    }
    if (Deno.uid() !== 0) return; // only root can give a folder away
    await Deno.chown(path, 4711, 4711);
    const { status, err } = await home.run(["status"]);
    assert.deepEqual([status, /belongs to the user with the number 4711/.test(err)], [1, true], err);
  },
});

Deno.test("gate: a token in a file that nobody else can read counts as a login", async () => {
  await using home = await Home.make();
  const file = `${home.path}/token`;
  const status = (path: string) => home.run(["--token-file", path, "status"]);
  assertRefused(await status(file), "no file", /there is no token in .*token: make one with .*token create/);
  await Deno.writeTextFile(file, await home.token("operator", 1), { mode: 0o600 });
  assert.equal((await status(file)).status, 0);
  assertRefused(
    await home.run(["--token-file", file, "token", "list"]),
    "another role",
    /needs the role admin/,
  );
  if (Deno.build.os === "windows") return;
  await Deno.chmod(file, 0o644);
  const open = await status(file);
  assert.equal(open.status, 1);
  assert.match(
    open.err,
    /other users .* can read .*token \(its mode is 644\): run {2}chmod 600 .*token revoke/,
  );
});
