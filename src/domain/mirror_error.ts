/** Every code that an operation, a command or a link can fail with. Codes are part of the protocol: never rename one. */
export type ErrorCode =
  // what a receiver answers for an operation
  | "bad_header"
  | "unknown_action"
  | "bad_path"
  | "bad_content"
  | "hash_mismatch"
  | "unsupported_name"
  | "reserved_name"
  | "name_too_long"
  | "symlink_in_path"
  | "parent_is_file"
  | "folder_in_the_way"
  | "folder_not_empty"
  | "not_owned"
  | "owned_by_other"
  | "content_needed"
  | "cannot_move"
  | "no_space"
  | "over_quota"
  | "no_permission"
  | "io_error"
  | "not_accepting"
  // what an inviter answers to a joiner
  | "bad_certificate"
  | "invite_refused"
  // what happens to a link
  | "bad_frame"
  | "bad_hello"
  | "duplicate_link"
  | "link_stalled"
  | "link_closed"
  | "not_trusted"
  | "unreachable"
  // what a sender finds out by itself
  | "changed_while_reading"
  | "unicode_twin"
  // what a command says
  | "wrong_usage"
  | "bad_config"
  | "bad_invite"
  | "home_in_use"
  | "bad_folder"
  | "port_in_use"
  | "newer_database"
  | "damaged_database"
  | "no_such_peer"
  | "not_logged_in"
  | "not_allowed"
  | "login_failed"
  | "login_throttled"
  | "unsafe_permissions"
  | "failed";

/** A failure with a code that a program can test and a message that a person can act on. */
export class MirrorError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MirrorError";
    this.code = code;
  }
}

/**
 * The refusals that trying again cannot mend: the path stays in `pending` as refused until it changes or `pending retry`.
 * What can mend itself (a full disk, a folder that is still being emptied) is not among them.
 */
const PERMANENT: ReadonlySet<string> = new Set<ErrorCode>([
  "bad_path",
  "unsupported_name",
  "reserved_name",
  "name_too_long",
  "symlink_in_path",
  "not_owned",
  "owned_by_other",
  "unicode_twin",
]);

/** Whether a peer's error code is final for the state that was sent. An unknown code is not. */
export function isPermanentRefusal(code: string): boolean {
  return PERMANENT.has(code);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of anything that was thrown: its own for a {@linkcode MirrorError}, else `fallback`. */
export function codeOf(error: unknown, fallback: ErrorCode): ErrorCode {
  return error instanceof MirrorError ? error.code : fallback;
}
