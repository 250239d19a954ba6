import { type Command, InvalidArgumentError } from "commander";
import { isName, NAME_RULE } from "../auth/auth.ts";
import type { Role } from "../domain/role.ts";
import type { Token } from "../store/tokens.ts";
import type { Action, Context } from "./context.ts";
import { examplesEnd, EXIT, helpEnd } from "./exit_status.ts";
import { authOf, TOKEN_VARIABLE } from "./gate.ts";
import { jsonTime, jsonTimeOrNull, showTime, table } from "./text.ts";
import { roleFlag } from "./user.ts";

interface CreateFlags {
  /** `never` for no end. */
  readonly expires?: number | "never";
  readonly name?: string;
  readonly role: Role;
}

const STATUSES = [EXIT.done, EXIT.failed, EXIT.wrongUsage, EXIT.notLoggedIn];
const MAX_DAYS = 3650;

/** Adds `mirrorsync token create|list|revoke`. */
export function addToken(program: Command, action: Action): void {
  const token = program.command("token")
    .summary("secrets for automations, which cannot log in")
    .description(
      `A token stands for a login where nobody can type a password: a scheduled task has it in ${TOKEN_VARIABLE}. It is shown ` +
        "once, when it is made; only its hash is kept.",
    )
    .addHelpText(
      "after",
      examplesEnd("mirrorsync token create --name nightly --expires 365\nmirrorsync token revoke nightly"),
    );
  token.command("create")
    .summary("make a token, and show it once")
    .description(
      `Makes a token and shows it, this once. Put it into ${TOKEN_VARIABLE} of whatever runs mirrorsync, not on a command line, ` +
        "which others can see. It ends with the user who has made it.",
    )
    .option(
      "--expires <days>",
      `after so many days it ends, 1 to ${MAX_DAYS}, or never (default: 90)`,
      daysFlag,
    )
    .option("--name <name>", "what to call it (default: token-1 and so on)", nameFlag)
    .option("--role <role>", "admin or operator", roleFlag, "operator")
    .addHelpText("after", helpEnd("mirrorsync token create --name nightly --expires 30", STATUSES))
    .action(action("admin", create));
  token.command("list")
    .summary("list the tokens, those that have ended too")
    .description(
      "Lists the tokens with role, maker, end and last use. What a token is cannot be shown again.",
    )
    .addHelpText("after", helpEnd("mirrorsync token list", STATUSES))
    .action(action("admin", list));
  token.command("revoke").argument("<name>", "the token's name, as `token list` shows it")
    .summary("end a token at once")
    .description("Ends a token: the next command that shows it is refused. What runs already goes on.")
    .addHelpText("after", helpEnd("mirrorsync token revoke nightly", STATUSES))
    .action(action("admin", revoke));
}

function daysFlag(text: string): number | "never" {
  if (text === "never") return text;
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (days < 1 || days > MAX_DAYS) {
    throw new InvalidArgumentError(`Use a whole number of days from 1 to ${MAX_DAYS}, or never.`);
  }
  return days;
}

function nameFlag(text: string): string {
  if (!isName(text)) throw new InvalidArgumentError(`Use ${NAME_RULE}.`);
  return text;
}

async function create({ home, output, actor }: Context, flags: CreateFlags): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const [auth, { createToken, DEFAULT_TOKEN_DAYS }] = await Promise.all([
    authOf(home, store),
    import("../auth/tokens.ts"),
  ]);
  const { expires = DEFAULT_TOKEN_DAYS } = flags;
  const { token, secret } = createToken(auth, actor, {
    ...{ name: flags.name ?? null, role: flags.role, days: expires === "never" ? null : expires },
  });
  const { name, role, expiresMs } = token;
  output.result({ token: secret, name, role, expires: jsonTimeOrNull(expiresMs) }, () => [secret]);
  const end = expiresMs === null ? "without an end" : `until ${showTime(expiresMs)}`;
  output.hint([
    `This is the token ${name}, with the role ${role}, ${end}. It is not shown again: put it into ${TOKEN_VARIABLE} of`,
    `whatever is to run mirrorsync. To end it:  ${home.command(`token revoke ${name}`)}`,
  ]);
  return EXIT.done;
}

async function list({ home, output }: Context): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const { stateOf } = await import("../auth/tokens.ts");
  const tokens = store.tokens.list().map((token) => ({ token, state: stateOf(token, Date.now()) }));
  output.result(
    tokens.map(({ token, state }) => ({
      ...{ name: token.name, role: token.role, state, madeBy: token.madeBy, made: jsonTime(token.madeMs) },
      ...{ expires: jsonTimeOrNull(token.expiresMs), lastUsed: jsonTimeOrNull(token.usedMs) },
      ...{ revoked: jsonTimeOrNull(token.revokedMs) },
    })),
    () =>
      table(
        tokens.map((
          { token, state },
        ) => [token.name, token.role, `by ${token.madeBy}`, ...whenOf(token, state)]),
      ),
  );
  if (tokens.length === 0) output.hint(["There are no tokens."]);
  return EXIT.done;
}

function whenOf({ expiresMs, usedMs, revokedMs }: Token, state: string): string[] {
  const end = revokedMs !== null
    ? `revoked ${showTime(revokedMs)}`
    : expiresMs === null
    ? "no end"
    : `${state === "expired" ? "expired" : "until"} ${showTime(expiresMs)}`;
  return [end, usedMs === null ? "never used" : `last used ${showTime(usedMs)}`];
}

async function revoke({ home, output, actor }: Context, name: string): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const [auth, { revokeToken }] = await Promise.all([authOf(home, store), import("../auth/tokens.ts")]);
  const token = revokeToken(auth, actor, name);
  output.done({ name: token.name }, () => [`The token ${token.name} is revoked.`]);
  return EXIT.done;
}
