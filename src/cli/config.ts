import { dirname, resolve } from "node:path";
import { parse, stringify, TomlError } from "smol-toml";
import * as v from "valibot";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address } from "../domain/ports.ts";
import { parseAddress } from "../link/address.ts";
import { DEFAULT_SETTINGS, type Settings } from "../peer/settings.ts";
import { BYTE_RATE_RULE, parseByteRate } from "./byte_rate.ts";
import { BYTE_SIZE_RULE, parseByteSize } from "./byte_size.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { isPeerName, PEER_NAME_RULE } from "../domain/peer_name.ts";
import { escapeText } from "./text.ts";
import { userPathHere } from "./user_path.ts";

/** What `mirrorsync.toml` says; `null` where it says nothing. */
export interface Config {
  readonly name: string | null;
  readonly listen: Address | null;
  /** Absolute. */
  readonly watched: string | null;
  /** Absolute. */
  readonly synced: string | null;
  /** An address to dial in addition to those of the peers. */
  readonly peer: Address | null;
  /** Whether what needs a person is shown on the desktop. */
  readonly notify: boolean;
  readonly settings: Settings;
}

const MIN_SCAN_MS = 1000;
const MAX_SCAN_MS = 24 * 3_600_000;
const MAX_LOG_DAYS = 36_500;
/** Mistakes that are told of at once: who gives another kind of file by mistake need not read a line for each line of it. */
const MAX_PROBLEMS = 20;

/** What `read` makes of a field; its error is the reason. */
function readBy<I, T>(expected: string, read: (value: I) => T) {
  return v.rawTransform<I, T>(({ dataset, addIssue, NEVER }) => {
    try {
      return read(dataset.value);
    } catch (error) {
      addIssue({ message: `must be ${expected}: ${messageOf(error)}` });
      return NEVER;
    }
  });
}

/** A field that is text, read by `read`, whose error is the reason. */
function text<T>(expected: string, read: (text: string) => T) {
  return v.pipe(v.string(`must be ${expected}, in quotes`), readBy(expected, read));
}

const ADDRESS = text("an address, HOST:PORT", parseAddress);
const FOLDER = text("the path of a folder", (path) => {
  if (path === "" || path.includes("\0")) throw new Error(`${JSON.stringify(path)} is no path`);
  return path;
});
const SCAN_RULE = 'must be a time from 1 second to 24 hours: "10m", "90s", "1h", or a number of seconds';
const DAYS_RULE = `must be a whole number of days from 1 to ${MAX_LOG_DAYS}`;
const DAYS = v.pipe(
  v.number(DAYS_RULE),
  v.integer(DAYS_RULE),
  v.minValue(1, DAYS_RULE),
  v.maxValue(MAX_LOG_DAYS, DAYS_RULE),
);

const TRASH_SIZE_RULE = 'a number of bytes, not 0: "10GB", "500MB", "1.5GiB", 1000000';

const SCHEMA = v.object({
  name: v.exactOptional(
    v.pipe(
      v.string(`must be ${PEER_NAME_RULE}, in quotes`),
      v.check(isPeerName, `must be ${PEER_NAME_RULE}`),
    ),
  ),
  listen: v.exactOptional(ADDRESS),
  watched: v.exactOptional(FOLDER),
  synced: v.exactOptional(FOLDER),
  peer: v.exactOptional(ADDRESS),
  notify: v.exactOptional(v.boolean("must be true or false")),
  scan_interval: v.exactOptional(
    v.pipe(
      v.union([v.string(), v.number()], SCAN_RULE),
      v.transform(parseDuration),
      v.number(SCAN_RULE),
      v.minValue(MIN_SCAN_MS, SCAN_RULE),
      v.maxValue(MAX_SCAN_MS, SCAN_RULE),
    ),
  ),
  log_days: v.exactOptional(DAYS),
  audit_days: v.exactOptional(DAYS),
  limit: v.exactOptional(
    v.pipe(
      v.union([v.string(), v.number()], `must be ${BYTE_RATE_RULE}`),
      readBy(BYTE_RATE_RULE, parseByteRate),
    ),
  ),
  quota: v.exactOptional(
    v.pipe(
      v.union([v.string(), v.number()], `must be ${BYTE_SIZE_RULE}`),
      readBy(BYTE_SIZE_RULE, (value: string | number) => parseByteSize(value)),
    ),
  ),
  trash: v.exactOptional(v.boolean("must be true or false")),
  trash_days: v.exactOptional(DAYS),
  trash_size: v.exactOptional(
    v.pipe(
      v.union([v.string(), v.number()], `must be ${TRASH_SIZE_RULE}`),
      readBy(TRASH_SIZE_RULE, boundedSize),
    ),
  ),
});
/** A size that has to be bounded. */
function boundedSize(value: string | number): number {
  const bytes = parseByteSize(value);
  if (bytes === null) throw new Error(`${JSON.stringify(value)} is no bound`);
  return bytes;
}
const KEYS = Object.keys(SCHEMA.entries);

/**
 * Reads the text of a config file. Relative folders in it are relative to the folder that the file is in.
 *
 * @param file The file's path, for messages and for relative folders.
 * @throws {MirrorError} `bad_config` naming the file, every key that is wrong with its line, and what is expected.
 */
export function parseConfig(source: string, file: string): Config {
  let table: Readonly<Record<string, unknown>>;
  try {
    table = parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const what = error.message.replace(/\n[\s\S]*/, "").replace(/^Invalid TOML document: /, "");
    throw new MirrorError(
      "bad_config",
      `${file}, line ${error.line}, column ${error.column}: this is not TOML: ${what}`,
      { cause: error },
    );
  }
  const lines = linesOf(source);
  const at = (key: string) => {
    const line = lines.get(key);
    return line === undefined ? file : `${file}, line ${line}`;
  };
  const problems = Object.keys(table).filter((key) => !KEYS.includes(key)).map((key) =>
    `${at(key)}: there is no key ${escapeText(key)}: the keys are ${KEYS.join(", ")}`
  );
  const parsed = v.safeParse(SCHEMA, table);
  for (const { path, message } of parsed.issues ?? []) {
    const key = String(path?.[0]?.key);
    const value = path?.[0]?.value;
    const shown = message.includes(`: ${show(value)} is `) ? "" : `, not ${show(value)}`;
    problems.push(`${at(key)}: ${key} ${message}${shown}`);
  }
  if (!parsed.success || problems.length > 0) {
    const more = problems.length - MAX_PROBLEMS;
    if (more > 0) problems.splice(MAX_PROBLEMS, more, `and ${more} more like these`);
    throw new MirrorError("bad_config", problems.join("; "));
  }
  const said = parsed.output;
  const folder = (path: string | undefined) =>
    path === undefined ? null : userPathHere(path, resolve(dirname(file)));
  return {
    name: said.name ?? null,
    listen: said.listen ?? null,
    watched: folder(said.watched),
    synced: folder(said.synced),
    peer: said.peer ?? null,
    notify: said.notify ?? false,
    settings: {
      scanIntervalMs: said.scan_interval ?? DEFAULT_SETTINGS.scanIntervalMs,
      logDays: said.log_days ?? DEFAULT_SETTINGS.logDays,
      auditDays: said.audit_days ?? DEFAULT_SETTINGS.auditDays,
      limitBytesPerSecond: said.limit ?? DEFAULT_SETTINGS.limitBytesPerSecond,
      quotaBytes: said.quota ?? DEFAULT_SETTINGS.quotaBytes,
      trash: said.trash ?? DEFAULT_SETTINGS.trash,
      trashDays: said.trash_days ?? DEFAULT_SETTINGS.trashDays,
      trashBytes: said.trash_size ?? DEFAULT_SETTINGS.trashBytes,
    },
  };
}

/**
 * Reads a config file; one that is not there says nothing.
 *
 * @throws {MirrorError} `bad_config` as {@linkcode parseConfig}, or when the file cannot be read.
 */
export async function loadConfig(file: string): Promise<Config> {
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(file));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return parseConfig("", file);
    const what = cause instanceof TypeError ? "it is not text in UTF-8" : messageOf(cause);
    throw new MirrorError("bad_config", `${file} cannot be read: ${what}`, { cause });
  }
  return parseConfig(source, file);
}

/** The line on which each key at the top of a TOML file is set first, where that is easily seen. */
function linesOf(source: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const [i, line] of source.split("\n").entries()) {
    const named = /^\s*(?:\[{1,2}\s*)?("[^"]*"|'[^']*'|[\w-]+)\s*[=.\]]/.exec(line)?.[1];
    const key = named?.replace(/^(["'])(.*)\1$/, "$2");
    if (key !== undefined && !found.has(key)) found.set(key, i + 1);
  }
  return found;
}

function show(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return escapeText(json.length > 100 ? json.slice(0, 100) + "…" : json);
}

/** The text of a new config file: every key with what it means and its default; set are only those that are given. */
export function configTemplate(set: { readonly listen: string | null }): string {
  const given = (key: string, value: string | null, example: string) =>
    value === null ? `# ${key} = ${example}` : stringify({ [key]: value }).trimEnd();
  return `# MirrorSync: the settings of this peer. Lines that start with # are comments; remove the # to set a key.
# Flags of \`mirrorsync run\` win over this file. A change counts from the next start on.

# The folder that is sent to the other peer, and the folder that mirrors the other peer's. Both must be there, and neither
# may lie in the other. A path that is not absolute is relative to the folder that this file is in;
# ~/ is your own folder.
# watched = "/path/to/watched"
# synced = "/path/to/synced"

# Where to listen for the other peer, HOST:PORT. The default is port 22600 on every address of this computer, IPv4 and IPv6.
${given("listen", set.listen, '"0.0.0.0:22600"')}

# An address to dial, HOST:PORT, in addition to those that \`mirrorsync peer add --address\` has recorded. Whichever trusted
# peer answers there is welcome; nobody else is.
# peer = "other.example:22600"

# The name that the other peer sees in its log. The default is the name in this peer's certificate.
# name = "laptop"

# Whether the desktop shows a notification of what needs you: a conflict, deletions that wait for a confirmation, a full disk, a
# peer that is away for an hour and when it is back in sync, a renewed certificate. Never more than one for the same thing.
# notify = false

# Changes are noticed at once. As a safety net everything in \`watched\` is compared this often too: "10m", "90s", "1h", or a
# number of seconds; from 1 second to 24 hours.
# scan_interval = "${formatDuration(DEFAULT_SETTINGS.scanIntervalMs)}"

# How much may be sent, and how much received, each by itself and over all links together: "2MB/s", "500KB/s", "1.5MiB/s", a
# number of bytes a second, or "none". Small saves go first.
# limit = "none"

# How much each peer may put into \`synced\`, all its files together: "20GB", "500MB", "1.5GiB", a number of bytes, or "none".
# What would go beyond is refused, and waits there until the peer deletes something or the quota is raised.
# quota = "none"

# What a peer deletes or replaces in \`synced\` goes to the trash of this home first, from where \`mirrorsync restore\` brings it
# back: for so many days, and no more than so much in all ("10GB", "500MB", "1.5GiB", a number of bytes); the oldest goes first.
# trash = true
# trash_days = ${DEFAULT_SETTINGS.trashDays}
# trash_size = "${DEFAULT_SETTINGS.trashBytes / 1e9}GB"

# For how many days the rows of the log are kept.
# log_days = ${DEFAULT_SETTINGS.logDays}

# For how many days the rows of the audit trail (\`mirrorsync log --audit\`) are kept.
# audit_days = ${DEFAULT_SETTINGS.auditDays}
`;
}
