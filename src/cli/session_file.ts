import type { Home } from "./home.ts";
import { readSecret, removeSecret, writeSecret } from "./secret_file.ts";

/** The secret of the session of whoever is logged in; `null` when nobody is. See {@linkcode readSecret}. */
export function readSession(home: Home): Promise<string | null> {
  return readSecret(home.sessionPath, home.command("logout"));
}

/** Keeps the secret of a new session. */
export function writeSession(home: Home, secret: string): Promise<void> {
  return writeSecret(home.sessionPath, secret);
}

/** Forgets the secret, if there is one. */
export function removeSession(home: Home): Promise<void> {
  return removeSecret(home.sessionPath);
}
