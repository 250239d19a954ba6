import assert from "node:assert/strict";
import {
  addUser,
  changeOwnPassword,
  logIn,
  logOut,
  removeUser,
  resetAccess,
} from "../../src/auth/accounts.ts";
import { setPassword } from "../../src/auth/accounts.ts";
import { admit } from "../../src/auth/admission.ts";
import type { Actor, Auth } from "../../src/auth/auth.ts";
import { Passwords } from "../../src/auth/passwords.ts";
import { SESSION_IDLE_MS, SESSION_LIFE_MS } from "../../src/auth/sessions.ts";
import { createToken, revokeToken } from "../../src/auth/tokens.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { Role } from "../../src/domain/role.ts";
import { Store } from "../../src/store/store.ts";

const OWNER: Actor = { kind: "owner", name: null, role: "admin" };
const ANNA: Actor = { kind: "user", name: "anna", role: "admin" };
const PASSWORD = "correct horse";
const DAY_MS = 86_400_000;

/** A home with the admin anna and the operator bert, and a clock that a test moves. */
class House implements Disposable {
  readonly store = new Store(":memory:");
  nowMs = Date.UTC(2026, 10, 22);
  readonly auth: Auth = {
    store: this.store,
    passwords: new Passwords({ logN: 4, r: 1, p: 1 }),
    now: () => this.nowMs,
    command: (text) => `mirrorsync ${text}`,
  };

  static async withUsers(): Promise<House> {
    const house = new House();
    await addUser(house.auth, OWNER, { name: "anna", role: null, password: PASSWORD });
    await addUser(house.auth, ANNA, { name: "bert", role: null, password: PASSWORD });
    return house;
  }

  async login(name: string): Promise<string> {
    return (await logIn(this.auth, name, PASSWORD)).secret;
  }

  /** Who somebody with this session is. */
  session(secret: string | null, needed: Role = "operator"): Promise<Actor> {
    return admit(this.auth, needed, "status", { token: null, session: () => Promise.resolve(secret) });
  }

  token(token: string, needed: Role = "operator"): Promise<Actor> {
    return admit(this.auth, needed, "status", { token, session: () => Promise.resolve(null) });
  }

  kinds(): string[] {
    return this.store.audit.newest(1000).reverse().map(({ kind, who, subject }) =>
      `${kind} ${who} ${subject}`
    );
  }

  [Symbol.dispose](): void {
    this.store[Symbol.dispose]();
  }
}

async function refused(
  work: Promise<unknown> | (() => unknown),
  code: string,
  mentions = /\S/,
): Promise<void> {
  await assert.rejects(
    async () => typeof work === "function" ? await work() : await work,
    (error) => {
      assert.ok(error instanceof MirrorError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, mentions);
      return true;
    },
  );
}

Deno.test("accounts: without users the owner may do everything; the first user is an admin and closes the home", async () => {
  using house = new House();
  assert.deepEqual(await house.session(null, "admin"), OWNER);
  await refused(logIn(house.auth, "anna", PASSWORD), "failed", /user add/);
  await refused(
    addUser(house.auth, OWNER, { name: "anna", role: "operator", password: PASSWORD }),
    "wrong_usage",
    /admin/,
  );
  const names = ["anna", "bert"] as const;
  const outcomes = await Promise.allSettled(
    names.map((name) => addUser(house.auth, OWNER, { name, role: null, password: PASSWORD })),
  );
  // Whose password is worked in first is the system's choice.
  const [first] = outcomes.flatMap((outcome) => outcome.status === "fulfilled" ? [outcome.value] : []);
  assert.ok(first !== undefined && first.first && first.role === "admin");
  assert.equal(
    outcomes.filter(({ status }) => status === "rejected").length,
    1,
    "whoever began while it was open is not let through when it is closed",
  );
  await refused(house.session(null), "not_logged_in", /login NAME/);
  await refused(
    addUser(house.auth, { ...ANNA, name: first.name }, {
      name: first.name.toUpperCase(),
      role: null,
      password: PASSWORD,
    }),
    "failed",
    /already/,
  );
});

Deno.test("accounts: a session ends by its age, by not being used, by logout, by a new password, and with its user", async () => {
  using house = await House.withUsers();
  const secret = await house.login("Bert");
  assert.deepEqual(await house.session(secret), { kind: "user", name: "bert", role: "operator" });
  // Not simply "x": one secret of 64 begins with that.
  const wrong = (secret.startsWith("x") ? "y" : "x") + secret.slice(1);
  await refused(house.session(wrong), "not_logged_in");
  house.nowMs += SESSION_IDLE_MS - 1;
  await house.session(secret);
  house.nowMs += SESSION_IDLE_MS;
  await refused(house.session(secret), "not_logged_in", /over/);

  const old = await house.login("bert");
  for (let i = 1; i < SESSION_LIFE_MS / (SESSION_IDLE_MS / 2); i++) {
    house.nowMs += SESSION_IDLE_MS / 2;
    await house.session(old);
  }
  house.nowMs += SESSION_IDLE_MS / 2;
  await refused(house.session(old), "not_logged_in", /over/);

  const early = await house.login("bert");
  house.nowMs -= DAY_MS;
  await refused(house.session(early), "not_logged_in", /over/);
  house.nowMs += DAY_MS;

  const ended = await house.login("bert");
  logOut(house.auth, { kind: "user", name: "bert", role: "operator" }, ended);
  await refused(house.session(ended), "not_logged_in", /ended/);

  const before = await house.login("bert");
  const bert: Actor = { kind: "user", name: "bert", role: "operator" };
  await refused(changeOwnPassword(house.auth, bert, "a wrong one", "battery staple"), "login_failed");
  await house.session(before);
  await changeOwnPassword(house.auth, bert, PASSWORD, "battery staple");
  await refused(house.session(before), "not_logged_in");
  await refused(logIn(house.auth, "bert", PASSWORD), "login_failed");
  await setPassword(house.auth, ANNA, "bert", PASSWORD);

  const last = await house.login("bert");
  removeUser(house.auth, ANNA, "bert");
  await refused(house.session(last), "not_logged_in");
});

Deno.test("accounts: wrong tries are recorded and slowed down, and a name that nobody has is not written down", async () => {
  using house = await House.withUsers();
  for (let i = 0; i < 3; i++) await refused(logIn(house.auth, "anna", "wrong horse"), "login_failed");
  await refused(logIn(house.auth, "anna", PASSWORD), "login_throttled", /wait 1 s/);
  await refused(logIn(house.auth, "my-secret-password", "wrong horse"), "login_failed");
  house.nowMs += 1000;
  await house.login("anna");
  const rows = house.store.audit.newest(10).map(({ kind, subject, times }) => `${kind} ${subject} ${times}`);
  assert.deepEqual(rows.slice(0, 4), [
    ...["login anna 1", "login_failed (no such user) 1", "login_throttled anna 1", "login_failed anna 3"],
  ]);
});

Deno.test("accounts: an operator may not do what an admin may; that is recorded", async () => {
  using house = await House.withUsers();
  const secret = await house.login("bert");
  await refused(house.session(secret, "admin"), "not_allowed", /role admin.*bert has the role operator/);
  assert.equal(house.kinds().at(-1), "command_refused bert status");
  assert.equal((await house.session(await house.login("anna"), "admin")).name, "anna");
});

Deno.test("accounts: the last admin stays while there are others; the last user of all opens the home", async () => {
  using house = await House.withUsers();
  await refused(() => removeUser(house.auth, ANNA, "anna"), "failed", /user add NAME --role admin/);
  await refused(() => removeUser(house.auth, ANNA, "carla"), "failed", /user list/);
  await addUser(house.auth, ANNA, { name: "carla", role: "admin", password: PASSWORD });
  assert.equal(removeUser(house.auth, ANNA, "anna").open, false);
  removeUser(house.auth, ANNA, "bert");
  const { secret } = createToken(house.auth, { ...ANNA, name: "carla" }, {
    name: "t",
    role: "admin",
    days: null,
  });
  assert.deepEqual(removeUser(house.auth, { ...ANNA, name: "carla" }, "CARLA"), {
    ...{ name: "carla", tokens: ["t"], open: true },
  });
  assert.deepEqual(await house.session(null, "admin"), OWNER);
  await addUser(house.auth, OWNER, { name: "dora", role: null, password: PASSWORD });
  await refused(house.token(secret), "not_logged_in", /not known/);
});

Deno.test("accounts: the owner of the files gets in again by removing all users, and the audit trail says so", async () => {
  using house = await House.withUsers();
  const { secret } = createToken(house.auth, ANNA, { name: "nightly", role: "operator", days: 90 });
  assert.deepEqual(resetAccess(house.auth), { users: 2, tokens: 1 });
  assert.deepEqual(await house.session(null, "admin"), OWNER);
  const [row] = house.store.audit.newest(1);
  assert.equal(row?.kind, "access_reset");
  assert.match(row?.detail ?? "", /2 users and 1 tokens/);
  await addUser(house.auth, OWNER, { name: "anna", role: null, password: PASSWORD });
  await refused(house.token(secret), "not_logged_in");
});

Deno.test("tokens: one lets in until it expires, is revoked, or its maker is removed", async () => {
  using house = await House.withUsers();
  const make = (name: string | null, days: number | null = 90) =>
    createToken(house.auth, ANNA, { name, role: "operator", days });
  const { token, secret } = make(null);
  assert.equal(token.name, "token-1");
  assert.match(secret, /^mirrorsync_[\w-]{43}$/);
  assert.deepEqual(await house.token(secret), { kind: "token", name: "token-1", role: "operator" });
  await refused(house.token(secret, "admin"), "not_allowed", /token token-1 has the role operator/);
  await refused(() => make("TOKEN-1"), "failed", /already/);
  house.nowMs += 90 * DAY_MS - 1;
  await house.token(secret);
  house.nowMs += 1;
  await refused(house.token(secret), "not_logged_in", /expired.*token create/);
  const again = make("token-1", null);
  await refused(house.token(secret), "not_logged_in", /not known/);
  house.nowMs += 3650 * DAY_MS;
  await house.token(again.secret);
  revokeToken(house.auth, ANNA, "token-1");
  await refused(house.token(again.secret), "not_logged_in", /revoked/);
  await refused(() => revokeToken(house.auth, ANNA, "token-1"), "failed", /before/);
  await refused(() => revokeToken(house.auth, ANNA, "nothing"), "failed", /token list/);
  await refused(house.token(""), "not_logged_in");

  await addUser(house.auth, ANNA, { name: "carla", role: "admin", password: PASSWORD });
  const admin = createToken(house.auth, { ...ANNA, name: "carla" }, { name: "a", role: "admin", days: 1 });
  const byToken = createToken(house.auth, { kind: "token", name: "a", role: "admin" }, {
    ...{ name: "b", role: "operator", days: 1 },
  });
  assert.deepEqual(removeUser(house.auth, ANNA, "carla").tokens, ["a", "b"]);
  for (const each of [admin, byToken]) await refused(house.token(each.secret), "not_logged_in", /revoked/);
  assert.deepEqual(
    house.kinds().filter((row) => row.startsWith("token_refused")).length,
    6,
    "every use of an ended token is recorded",
  );
});

Deno.test("audit: no secret is ever in it, nor in the tables", async () => {
  using house = await House.withUsers();
  const session = await house.login("bert");
  const { secret: token } = createToken(house.auth, ANNA, { name: "nightly", role: "operator", days: 1 });
  await house.token(token);
  await refused(logIn(house.auth, "bert", "wrong horse"), "login_failed");
  revokeToken(house.auth, ANNA, "nightly");
  await refused(house.token(token), "not_logged_in");
  const all = JSON.stringify([
    house.store.audit.newest(1000),
    house.store.users.list(),
    house.store.tokens.list(),
  ]);
  for (const secret of [PASSWORD, "wrong horse", session, token]) assert.ok(!all.includes(secret), secret);
});
