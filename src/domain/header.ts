import { MirrorError } from "./mirror_error.ts";
import { parseRelativePath, type RelativePath } from "./relative_path.ts";
import { parseTimestamp } from "./timestamp.ts";
import type { Kind } from "./observation.ts";

/** What an operation does. `create` and `update` are the same upsert; `move` is the extension `moves`. */
export type Action = "create" | "update" | "delete" | "move";

/** An operation's header after parsing: it cannot be wrong any more. */
export interface Operation {
  readonly id: string;
  readonly action: Action;
  readonly path: RelativePath;
  /** Of a move: the path that it had before; `null` for the others. */
  readonly from: RelativePath | null;
  /** The file's mtime in milliseconds of UTC. */
  readonly mtimeMs: number;
  /** Of the file, before compression; 0 for folders and deletions. */
  readonly sizeBytes: number;
  /** SHA-256 of the file, lower-case hex; `""` for folders and deletions. */
  readonly hash: string;
  readonly sender: string;
  readonly compressed: boolean;
  /** Extension `folders`; `file` without it. */
  readonly kind: Kind;
  /** Extension `modes`; `null` when the sender did not say. */
  readonly executable: boolean | null;
  /** Extension `offer`: there is no content; the receiver is asked whether it has it already. */
  readonly offer: boolean;
  /** Extension `pieces`: the content came before, in pieces under this operation's id. */
  readonly pieces: boolean;
  /** With `pieces`: how often the transfer had begun anew when this was sent; 0 otherwise. */
  readonly turn: number;
}

/** A header as JSON, checked to be an object and no more. */
export type RawHeader = Readonly<Record<string, unknown>>;

/** The optional fields that only a link with a hello may use. */
export interface HeaderExtensions {
  readonly folders: boolean;
  readonly modes: boolean;
  readonly offer: boolean;
  readonly pieces: boolean;
  readonly moves: boolean;
}

/** For links without a hello: extension fields are fields one doesn't know, and ignored. */
export const NO_EXTENSIONS: HeaderExtensions = {
  folders: false,
  modes: false,
  offer: false,
  pieces: false,
  moves: false,
};

/** The longest `id` and `sender` that are accepted, in UTF-16 units. */
const MAX_NAME_LENGTH = 256;
const HASH = /^[0-9a-f]{64}$/i;
/** A byte order mark is no part of JSON: it is not taken off. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads a header's bytes.
 *
 * @throws {MirrorError} `bad_header` when they are not UTF-8, not JSON or not an object.
 */
export function parseRawHeader(bytes: Uint8Array): RawHeader {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new MirrorError("bad_header", "the header is not JSON in UTF-8", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MirrorError("bad_header", "the header is not a JSON object");
  }
  return value as RawHeader;
}

/** The `id` of a header if it has a usable one: an error reply names it even when the rest is wrong. */
export function idOf(header: RawHeader): string | null {
  const id = header["id"];
  return typeof id === "string" && id.length > 0 && id.length <= MAX_NAME_LENGTH ? id : null;
}

/** Whether the action is one of the operations. */
export function isOperation(header: RawHeader): boolean {
  const action = header["action"];
  return action === "create" || action === "update" || action === "delete" || action === "move";
}

/**
 * Reads an operation's header; lists every way in which one can be wrong.
 *
 * @throws {MirrorError} `unknown_action`, `bad_header` naming the field, `bad_path`, `reserved_name` or `name_too_long`.
 */
export function parseOperation(header: RawHeader, extensions: HeaderExtensions): Operation {
  const action = text(header, "action");
  const known = action === "create" || action === "update" || action === "delete" ||
    (action === "move" && extensions.moves);
  if (!known) {
    throw new MirrorError(
      "unknown_action",
      `the action ${JSON.stringify(action.slice(0, 50))} is not known here`,
    );
  }
  const id = idOf(header);
  if (id === null) {
    throw new MirrorError("bad_header", 'the field "id" is missing or not a string of 1 to 256 characters');
  }
  const path = parseRelativePath(text(header, "path"));
  const mtimeMs = parseTimestamp(text(header, "timestamp"));
  const sender = text(header, "sender");
  if (sender.length > MAX_NAME_LENGTH) {
    throw new MirrorError("bad_header", 'the field "sender" is longer than 256 characters');
  }
  const kind = extensions.folders ? kindOf(header) : "file";
  const from = action === "move" ? parseRelativePath(text(header, "from")) : null;
  const base = { id, action, path, from, mtimeMs, sender, kind } as const;
  if (action === "delete" || kind === "folder") {
    return {
      ...base,
      sizeBytes: 0,
      hash: "",
      compressed: false,
      executable: null,
      offer: false,
      pieces: false,
      turn: 0,
    };
  }
  const sizeBytes = header["size"];
  if (typeof sizeBytes !== "number" || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw new MirrorError("bad_header", 'the field "size" is missing or not a whole number of bytes');
  }
  const hash = text(header, "hash");
  if (!HASH.test(hash)) throw new MirrorError("bad_header", 'the field "hash" is not a SHA-256 in hex');
  const compressed = header["compressed"];
  if (typeof compressed !== "boolean") {
    throw new MirrorError("bad_header", 'the field "compressed" is missing or not true or false');
  }
  const turn = (extensions.pieces ? header["turn"] : null) ?? 0;
  if (typeof turn !== "number" || !Number.isSafeInteger(turn) || turn < 0) {
    throw new MirrorError("bad_header", 'the field "turn" is not a whole number');
  }
  const offer = extensions.offer && optionalFlag(header, "offer") === true;
  const pieces = extensions.pieces && optionalFlag(header, "pieces") === true;
  if (offer && pieces) throw new MirrorError("bad_header", 'both "offer" and "pieces" are true');
  if (compressed && (offer || pieces)) {
    throw new MirrorError(
      "bad_header",
      'the field "compressed" is true, and no content comes with the operation',
    );
  }
  return {
    ...base,
    sizeBytes,
    hash: hash.toLowerCase(),
    compressed,
    executable: extensions.modes ? optionalFlag(header, "executable") : null,
    offer,
    pieces,
    turn,
  };
}

function text(header: RawHeader, field: string): string {
  const value = header[field];
  if (typeof value !== "string") {
    throw new MirrorError("bad_header", `the field "${field}" is missing or not a string`);
  }
  return value;
}

function kindOf(header: RawHeader): Kind {
  const kind = header["kind"] ?? "file";
  if (kind !== "file" && kind !== "folder") {
    throw new MirrorError("bad_header", 'the field "kind" is neither "file" nor "folder"');
  }
  return kind;
}

function optionalFlag(header: RawHeader, field: string): boolean | null {
  const value = header[field] ?? null;
  if (value !== null && typeof value !== "boolean") {
    throw new MirrorError("bad_header", `the field "${field}" is not true or false`);
  }
  return value;
}

/** Whether an operation brings the content of a file with it. */
export function bearsContent({ action, kind, offer, pieces }: Operation): boolean {
  return (action === "create" || action === "update") && kind === "file" && !offer && !pieces;
}

/**
 * The most bytes of content that an operation may bring: none for deletions, folders, offers, moves and what came in
 * pieces; `size` for plain content; `size` + 1 % + 1 KiB for compressed content.
 */
export function contentLimit(operation: Operation): number {
  if (!bearsContent(operation)) return 0;
  return operation.compressed
    ? operation.sizeBytes + Math.floor(operation.sizeBytes / 100) + 1024
    : operation.sizeBytes;
}
