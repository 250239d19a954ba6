import { type Command, InvalidArgumentError } from "commander";
import { isName, NAME_RULE } from "../auth/auth.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { type Role, ROLES } from "../domain/role.ts";
import type { Action, Context, OpenContext } from "./context.ts";
import { examplesEnd, EXIT, helpEnd } from "./exit_status.ts";
import { authOf } from "./gate.ts";
import { newPassword, type PasswordFlags } from "./password_input.ts";
import { removeSession } from "./session_file.ts";
import { jsonTime, plural, quoteForShell, showTime, table } from "./text.ts";

interface AddFlags extends PasswordFlags {
  readonly role?: Role;
}

const STATUSES = [EXIT.done, EXIT.failed, EXIT.wrongUsage, EXIT.notLoggedIn];

/** Adds `mirrorsync user add|list|passwd|remove|reset`. */
export function addUser(program: Command, action: Action): void {
  const user = program.command("user")
    .summary("say who may use this home; without users it is open to its owner")
    .description(
      "Who may use this home. With no users every command can be used by whoever owns the home's files. With users every " +
        "command needs `login`, or a token in MIRRORSYNC_TOKEN. An admin may do everything; an operator may run, look, try " +
        "again and verify, but not change peers, users, tokens, settings or the identity.",
    )
    .addHelpText(
      "after",
      examplesEnd("mirrorsync user add anna\nmirrorsync login anna\nmirrorsync user list"),
    );
  user.command("add").argument("<name>", "what to call the user", userNameArgument)
    .summary("add a user; the first one closes the home to everybody who is not logged in")
    .description(
      "Adds a user. The password is asked for on the terminal and not shown. The first user is an admin, and from then on " +
        "every command needs a login.",
    )
    .option("--role <role>", "admin or operator (default: operator; admin for the first user)", roleFlag)
    .option("--password-stdin", "read the password from stdin")
    .addHelpText("after", helpEnd("mirrorsync user add anna --role admin", STATUSES))
    .action(action("admin", add));
  user.command("list")
    .summary("list the users")
    .description("Lists the users with their roles.")
    .addHelpText("after", helpEnd("mirrorsync user list", STATUSES))
    .action(action("admin", list));
  user.command("passwd").argument("<name>", "the user's name")
    .summary("set another user's password")
    .description("Sets the password of a user who has forgotten it, and ends that user's sessions.")
    .option("--password-stdin", "read the new password from stdin")
    .addHelpText("after", helpEnd("mirrorsync user passwd bert", STATUSES))
    .action(action("admin", passwd));
  user.command("remove").argument("<name>", "the user's name")
    .summary("remove a user")
    .description(
      "Removes a user; the user's sessions end and the tokens that the user has made are revoked. The last admin cannot be " +
        "removed while there are other users; the very last user can, which opens the home to whoever owns its files.",
    )
    .addHelpText("after", helpEnd("mirrorsync user remove bert", STATUSES))
    .action(action("admin", remove));
  user.command("reset")
    .summary("the way back in for the owner of the home's files: remove all users")
    .description(
      "For the owner of this computer who cannot log in any more. Removes all users, sessions and tokens, so that the home is " +
        "open to whoever owns its files. To show that you do, make an empty file named reset-users in the home first. It is " +
        "recorded in the audit trail.",
    )
    .addHelpText("after", helpEnd("mirrorsync user reset", STATUSES))
    .action(action("everyone", reset));
}

function userNameArgument(text: string): string {
  if (!isName(text)) throw new InvalidArgumentError(`Use ${NAME_RULE}.`);
  return text;
}

/** Reads the value of a flag that is a role. */
export function roleFlag(text: string): Role {
  const role = ROLES.find((role) => role === text);
  if (role === undefined) throw new InvalidArgumentError(`Use ${ROLES.join(" or ")}.`);
  return role;
}

async function add({ home, output, input, actor }: Context, name: string, flags: AddFlags): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const [auth, { addUser, checkFirstRole }] = await Promise.all([
    authOf(home, store),
    import("../auth/accounts.ts"),
  ]);
  checkFirstRole(store.users.isEmpty(), flags.role ?? null);
  const password = await newPassword(input, flags, `Password of ${name}: `);
  const { role, first } = await addUser(auth, actor, { name, role: flags.role ?? null, password });
  output.done({ name, role, first }, () => [
    `${name} is a user now, with the role ${role}.`,
    ...first ? [`From now on every command needs a login:  ${home.command(`login ${name}`)}`] : [],
  ]);
  if (first) {
    output.hint([
      `If it runs by itself: the service needs a token now; after the login,  ${
        home.command("service install --replace")
      }  with the folders as before gives it one.`,
    ]);
  }
  return EXIT.done;
}

async function list({ home, output }: Context): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const users = store.users.list();
  output.result(
    users.map(({ name, role, addedMs, changedMs }) => ({
      ...{ name, role, added: jsonTime(addedMs), passwordChanged: jsonTime(changedMs) },
    })),
    () => table(users.map(({ name, role, addedMs }) => [name, role, `added ${showTime(addedMs)}`])),
  );
  if (users.length === 0) {
    output.hint([
      "There are no users: every command can be used by whoever owns the home's files.",
      `To close it, add an admin:  ${home.command("user add NAME")}`,
    ]);
  }
  return EXIT.done;
}

async function passwd(
  { home, output, input, actor }: Context,
  name: string,
  flags: PasswordFlags,
): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const [auth, { mustExist, setPassword }] = await Promise.all([
    authOf(home, store),
    import("../auth/accounts.ts"),
  ]);
  mustExist(auth, name);
  const user = await setPassword(
    auth,
    actor,
    name,
    await newPassword(input, flags, `New password of ${name}: `),
  );
  output.done({ name: user.name }, () => [`${user.name} has a new password, and has to log in again.`]);
  return EXIT.done;
}

async function remove({ home, output, actor }: Context, name: string): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const [auth, { removeUser }] = await Promise.all([authOf(home, store), import("../auth/accounts.ts")]);
  const { name: removed, tokens, open } = removeUser(auth, actor, name);
  if (open) await removeSession(home);
  output.done({ name: removed, tokens, open }, () => [
    `${removed} is no user any more.`,
    ...tokens.length > 0
      ? [`${plural(tokens.length, "token")} that ${removed} had made ended too: ${tokens.join(", ")}`]
      : [],
  ]);
  if (open) {
    output.warn(
      "that was the last user: from now on every command can be used, without a login, by whoever owns the home's files",
    );
  }
  return EXIT.done;
}

async function reset({ home, output }: OpenContext): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  if (store.users.isEmpty()) {
    output.done({ users: 0, tokens: 0 }, () => ["There are no users, so there is nothing to reset."]);
    return EXIT.done;
  }
  await mustHaveResetFile(home.resetPath);
  await Deno.remove(home.resetPath);
  const [auth, { resetAccess }] = await Promise.all([authOf(home, store), import("../auth/accounts.ts")]);
  const { users, tokens } = resetAccess(auth);
  await removeSession(home);
  output.done({ users, tokens }, () => [
    `${plural(users, "user")} and ${
      plural(tokens, "token")
    } removed. Every command can be used by whoever owns the home's files.`,
  ]);
  output.hint([`To close it again, add an admin:  ${home.command("user add NAME")}`]);
  return EXIT.done;
}

/** Whoever can make a file in the home could change the database as well: to them a login is no barrier, and need be none. */
async function mustHaveResetFile(path: string): Promise<void> {
  try {
    const { isFile, uid } = await Deno.lstat(path);
    if (isFile && (Deno.build.os === "windows" || uid === Deno.uid())) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const make = Deno.build.os === "windows" ? `type nul > "${path}"` : `touch ${quoteForShell(path)}`;
  throw new MirrorError(
    "not_allowed",
    `show first that the home's files are yours: make an empty file with  ${make}  and run this again`,
  );
}
