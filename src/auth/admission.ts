import { MirrorError } from "../domain/mirror_error.ts";
import { type Role, roleSuffices } from "../domain/role.ts";
import { type Actor, type Auth, whoOf } from "./auth.ts";
import { useSession } from "./sessions.ts";
import { useToken } from "./tokens.ts";

/** What somebody shows to be let in. */
export interface Shown {
  /** The value of `MIRRORSYNC_TOKEN`, which counts before a session; `null` without one. */
  readonly token: string | null;
  /** Reads the secret of the home's session; `null` when there is none. */
  readonly session: () => Promise<string | null>;
}

/**
 * Decides who runs a command, and whether they may.
 *
 * @param needed The role that the command needs.
 * @param name The command's name, for messages and the audit trail.
 * @throws {MirrorError} `not_logged_in`, `not_allowed`.
 */
export async function admit(auth: Auth, needed: Role, name: string, shown: Shown): Promise<Actor> {
  const { store, now, command } = auth;
  if (store.users.isEmpty()) return { kind: "owner", name: null, role: "admin" };
  const actor = shown.token !== null ? ofToken(auth, shown.token) : ofSession(auth, await shown.session());
  if (roleSuffices(actor.role, needed)) return actor;
  store.audit.recordOften({
    ...{ atMs: now(), kind: "command_refused", who: whoOf(actor), subject: name },
    detail: `it needs the role ${needed}`,
  });
  throw new MirrorError(
    "not_allowed",
    `${name} needs the role ${needed}, and ${
      whoOf(actor)
    } has the role ${actor.role}: an admin can do it, after  ${command("login NAME")}`,
  );
}

function ofToken(auth: Auth, secret: string): Actor {
  const { name, role } = useToken(auth, secret);
  return { kind: "token", name, role };
}

function ofSession(auth: Auth, secret: string | null): Actor {
  const user = secret === null ? null : useSession(auth, secret);
  if (user !== null && typeof user === "object") return { kind: "user", name: user.name, role: user.role };
  const why = user === null
    ? "you are not logged in"
    : user === "over"
    ? "your session is over"
    : "your session was ended";
  throw new MirrorError(
    "not_logged_in",
    `${why}: log in with  ${auth.command("login NAME")}  (an automation sets MIRRORSYNC_TOKEN)`,
  );
}
