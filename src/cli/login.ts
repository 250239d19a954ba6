import type { Command } from "commander";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Action, Context, OpenContext } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { authOf } from "./gate.ts";
import { bothPasswords, existingPassword, type PasswordFlags } from "./password_input.ts";
import { readSession, removeSession, writeSession } from "./session_file.ts";
import { escapeText } from "./text.ts";

const STATUSES = [EXIT.done, EXIT.failed, EXIT.wrongUsage, EXIT.notLoggedIn];

/** Adds `mirrorsync login`, `logout` and `passwd`. */
export function addLogin(program: Command, action: Action): void {
  program.command("login").argument("<name>", "your name, as `user list` shows it")
    .summary("log in, so that commands can be used")
    .description(
      "Begins a session: it lasts 12 hours, or until it was not used for 2 hours, or until `logout`. The password is asked for " +
        "on the terminal and not shown. Wrong tries are recorded, and after a few each has to wait longer than the one before. " +
        "A `run` that was started goes on when the session ends.",
    )
    .option("--password-stdin", "read the password from stdin")
    .addHelpText(
      "after",
      helpEnd("mirrorsync login anna", STATUSES, {
        [EXIT.notLoggedIn]: "the name or the password is wrong, or there were too many wrong tries",
      }),
    )
    .action(action("everyone", login));
  program.command("logout")
    .summary("end the session")
    .description("Ends the session that `login` has begun.")
    .addHelpText("after", helpEnd("mirrorsync logout", STATUSES))
    .action(action("operator", logout));
  program.command("passwd")
    .summary("change your own password")
    .description("Changes the password of whoever is logged in, and ends that user's sessions: log in again.")
    .option("--password-stdin", "read two lines from stdin: the current password, then the new one")
    .addHelpText("after", helpEnd("mirrorsync passwd", STATUSES))
    .action(action("operator", passwd));
}

async function login(
  { home, output, input }: OpenContext,
  name: string,
  flags: PasswordFlags,
): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const [auth, { logIn }, { endSession }] = await Promise.all([
    authOf(home, store),
    import("../auth/accounts.ts"),
    import("../auth/sessions.ts"),
  ]);
  const before = await readSession(home);
  const ask = store.users.isEmpty()
    ? () => Promise.resolve("")
    : () => existingPassword(input, flags, "Password: ");
  const { user, secret } = await logIn(auth, name, await ask());
  await writeSession(home, secret);
  if (before !== null) endSession(auth, before);
  output.done(
    { name: user.name, role: user.role },
    () => [`You are logged in as ${user.name} (${user.role}).`],
  );
  return EXIT.done;
}

async function logout({ home, output, actor }: Context): Promise<number> {
  using store = home.openStore();
  const secret = await readSession(home);
  if (actor.kind !== "user" || secret === null) {
    throw new MirrorError("failed", "there is no session here to be ended");
  }
  const [auth, { logOut }] = await Promise.all([authOf(home, store), import("../auth/accounts.ts")]);
  logOut(auth, actor, secret);
  await removeSession(home);
  output.done({ name: actor.name }, () => [`${escapeText(actor.name ?? "")} is logged out.`]);
  return EXIT.done;
}

async function passwd({ home, output, input, actor }: Context, flags: PasswordFlags): Promise<number> {
  if (actor.kind !== "user") {
    throw new MirrorError("failed", "only a user who is logged in has a password to change");
  }
  const [current, next] = await bothPasswords(input, flags);
  using store = home.openStore();
  const [auth, { changeOwnPassword }] = await Promise.all([
    authOf(home, store),
    import("../auth/accounts.ts"),
  ]);
  await changeOwnPassword(auth, actor, current, next);
  await removeSession(home);
  output.done({ name: actor.name }, () => ["The password is changed, and your sessions are ended."]);
  output.hint([`Log in again:  ${home.command(`login ${actor.name}`)}`]);
  return EXIT.done;
}
