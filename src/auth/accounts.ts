import { MirrorError } from "../domain/mirror_error.ts";
import type { Role } from "../domain/role.ts";
import type { User } from "../store/users.ts";
import { type Actor, type Auth, whoOf } from "./auth.ts";
import { checkNewPassword } from "./passwords.ts";
import { endSession, startSession } from "./sessions.ts";
import { beginTry, endTry } from "./throttle.ts";

/** What the audit trail says of a name that no user has: it may be a password that was typed in the wrong place. */
const UNKNOWN_NAME = "(no such user)";

/**
 * Adds a user. The first one closes the home to everybody who is not logged in, and is an admin.
 *
 * @param role `null`: admin for the first one, operator for the others.
 * @throws {MirrorError} `wrong_usage`, `failed` when there is one of that name, `not_logged_in` when somebody else was first.
 */
export async function addUser(
  { store, passwords, now, command }: Auth,
  actor: Actor,
  { name, role, password }: { name: string; role: Role | null; password: string },
): Promise<{ readonly name: string; readonly role: Role; readonly first: boolean }> {
  checkNewPassword(password, name);
  if (store.users.get(name) !== null) throw taken(name, command);
  const hash = await passwords.hash(password);
  return store.transaction(() => {
    const first = store.users.isEmpty();
    if (actor.kind === "owner" && !first) {
      throw new MirrorError(
        "not_logged_in",
        `somebody has added the first user meanwhile: log in with  ${command("login NAME")}`,
      );
    }
    if (store.users.get(name) !== null) throw taken(name, command);
    const given = role ?? (first ? "admin" : "operator");
    checkFirstRole(first, given);
    store.users.add({ name, role: given, password: hash, addedMs: now() });
    store.audit.record({
      ...{ atMs: now(), kind: "user_added", who: whoOf(actor), subject: name },
      detail: `with the role ${given}${
        first ? "; the home is closed to everybody who is not logged in" : ""
      }`,
    });
    return { name, role: given, first };
  });
}

/** @throws {MirrorError} `wrong_usage` when the first user would not be an admin. */
export function checkFirstRole(first: boolean, role: Role | null): void {
  if (!first || role === null || role === "admin") return;
  throw new MirrorError(
    "wrong_usage",
    "the first user must be an admin, or nobody could add another one: use --role admin, or leave --role away",
  );
}

function taken(name: string, command: Auth["command"]): MirrorError {
  return new MirrorError(
    "failed",
    `there is a user ${name} already: to set a new password use  ${command(`user passwd ${name}`)}`,
  );
}

/** Begins a session for whoever has the password; gives its secret. @throws {MirrorError} `login_failed`, `login_throttled`. */
export async function logIn(
  auth: Auth,
  name: string,
  password: string,
): Promise<{ user: User; secret: string }> {
  const { store, passwords, now, command } = auth;
  if (store.users.isEmpty()) {
    throw new MirrorError(
      "failed",
      `there are no users here, so there is nothing to log in to: every command can be used. ` +
        `The first user is made with  ${command("user add NAME")}`,
    );
  }
  const user = await checkPassword(auth, name, password);
  const better = passwords.isCurrent(user.password) ? null : await passwords.hash(password);
  const secret = store.transaction(() => {
    if (store.users.get(name)?.password !== user.password) throw wrongLogin(); // changed or removed this very moment
    if (better !== null) store.users.setPassword(user.name, better, user.changedMs);
    store.audit.record({
      ...{ atMs: now(), kind: "login", who: user.name, subject: user.name, detail: "logged in" },
    });
    return startSession(auth, user.name);
  });
  return { user, secret };
}

/** Checks a password, at a speed that makes guessing hopeless. @throws {MirrorError} `login_failed`, `login_throttled`. */
async function checkPassword({ store, passwords, now }: Auth, name: string, password: string): Promise<User> {
  const subject = store.users.get(name)?.name ?? UNKNOWN_NAME;
  try {
    beginTry(store, name, now());
  } catch (error) {
    if (error instanceof MirrorError && error.code === "login_throttled") {
      store.audit.recordOften({
        ...{ atMs: now(), kind: "login_throttled", subject, detail: "too many wrong tries: not looked at" },
      });
    }
    throw error;
  }
  const user = store.users.get(name);
  if (await passwords.verify(password, user?.password ?? null) && user !== null) {
    store.transaction(() => endTry(store, name));
    return user;
  }
  store.audit.recordOften({ atMs: now(), kind: "login_failed", subject, detail: "a wrong name or password" });
  throw wrongLogin();
}

function wrongLogin(): MirrorError {
  return new MirrorError("login_failed", "the name or the password is wrong");
}

/** Ends the session of a secret. */
export function logOut(auth: Auth, actor: Actor, secret: string): void {
  const { store, now } = auth;
  store.transaction(() => {
    endSession(auth, secret);
    store.audit.record({
      ...{ atMs: now(), kind: "logout", who: whoOf(actor), subject: actor.name ?? "", detail: "logged out" },
    });
  });
}

/** Changes one's own password, which ends one's sessions. @throws {MirrorError} as {@linkcode logIn}, `wrong_usage`. */
export async function changeOwnPassword(
  auth: Auth,
  actor: Actor,
  current: string,
  next: string,
): Promise<void> {
  if (actor.kind !== "user" || actor.name === null) {
    throw new MirrorError("failed", "only a user who is logged in has a password to change");
  }
  checkNewPassword(next, actor.name);
  await checkPassword(auth, actor.name, current);
  await setPassword(auth, actor, actor.name, next);
}

/** Sets a user's password, which ends the user's sessions. @throws {MirrorError} `failed` when there is no such user. */
export async function setPassword(auth: Auth, actor: Actor, name: string, password: string): Promise<User> {
  const { store, passwords, now } = auth;
  const { name: known } = mustExist(auth, name);
  checkNewPassword(password, known);
  const hash = await passwords.hash(password);
  return store.transaction(() => {
    const user = mustExist(auth, name);
    store.users.setPassword(user.name, hash, now());
    store.sessions.removeOf(user.name);
    store.loginFailures.remove(user.name.toLowerCase());
    store.audit.record({
      ...{ atMs: now(), kind: "password_changed", who: whoOf(actor), subject: user.name },
      detail: "and the user's sessions ended",
    });
    return user;
  });
}

/** @throws {MirrorError} `failed` when there is no such user. */
export function mustExist({ store, command }: Auth, name: string): User {
  const user = store.users.get(name);
  if (user !== null) return user;
  throw new MirrorError("failed", `there is no user of that name: ${command("user list")}  lists them`);
}

/** What the removal of a user has brought with it. */
export interface Removed {
  readonly name: string;
  /** The tokens that the user had made, revoked now. */
  readonly tokens: readonly string[];
  /** It was the last one: the home is open to whoever owns its files. */
  readonly open: boolean;
}

/** Removes a user with the user's sessions and tokens. @throws {MirrorError} `failed` for the last admin while others are there. */
export function removeUser(auth: Auth, actor: Actor, name: string): Removed {
  const { store, now, command } = auth;
  return store.transaction(() => {
    const user = mustExist(auth, name);
    const others = store.users.list().filter((other) => other.name !== user.name);
    if (others.length > 0 && !others.some(({ role }) => role === "admin")) {
      throw new MirrorError(
        "failed",
        `${user.name} is the last admin, and nobody else could manage users then: make another admin first with  ` +
          `${command("user add NAME --role admin")}  , or remove all other users before`,
      );
    }
    const tokens = store.tokens.list().filter((token) =>
      token.revokedMs === null && token.madeBy.toLowerCase() === user.name.toLowerCase()
    ).map((token) => token.name);
    for (const token of tokens) store.tokens.revoke(token, now());
    store.users.remove(user.name);
    store.loginFailures.remove(user.name.toLowerCase());
    const open = others.length === 0;
    if (open) forgetAll(auth);
    store.audit.record({
      ...{ atMs: now(), kind: "user_removed", who: whoOf(actor), subject: user.name },
      detail: [
        "with the user's sessions",
        ...(tokens.length > 0 ? [`and tokens (${tokens.join(", ")})`] : []),
        ...(open ? ["; it was the last user: the home is open to whoever owns its files"] : []),
      ].join(" ").replace(" ;", ";"),
    });
    return { name: user.name, tokens, open };
  });
}

/** Opens the home again: all users, sessions and tokens go. The caller has seen to it that the home's owner wants it. */
export function resetAccess(auth: Auth): { readonly users: number; readonly tokens: number } {
  const { store, now } = auth;
  return store.transaction(() => {
    const users = store.users.list().length;
    const tokens = store.tokens.list().filter(({ revokedMs }) => revokedMs === null).length;
    store.users.clear();
    forgetAll(auth);
    store.audit.record({
      ...{ atMs: now(), kind: "access_reset", subject: "users" },
      detail:
        `by the owner of the home's files: ${users} users and ${tokens} tokens removed, the home is open`,
    });
    return { users, tokens };
  });
}

function forgetAll({ store }: Auth): void {
  store.tokens.clear();
  store.loginFailures.clear();
}
