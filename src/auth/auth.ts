import type { Role } from "../domain/role.ts";
import type { Store } from "../store/store.ts";
import type { Passwords } from "./passwords.ts";

/** What the functions of this room work with. */
export interface Auth {
  readonly store: Store;
  readonly passwords: Passwords;
  /** Wall time in milliseconds of UTC. */
  readonly now: () => number;
  /** A command as the user would type it, for messages. */
  readonly command: (command: string) => string;
}

/** On whose behalf a command runs. */
export interface Actor {
  /** `owner`: whoever owns the files of a home that has no users. */
  readonly kind: "owner" | "user" | "token";
  /** The name of the user or token; `null` for the owner. */
  readonly name: string | null;
  readonly role: Role;
}

/** What is written down of an actor in the audit trail. */
export function whoOf({ kind, name }: Actor): string | null {
  return kind === "token" ? `token ${name}` : name;
}

/** What users and tokens can be named, in words. */
export const NAME_RULE = "a name of 1 to 64 letters from a to z, digits, dots, dashes and underscores";

/** Whether a user or token can have this name. Its letters' case makes no other name. */
export function isName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text);
}
