import { createHash, randomBytes } from "node:crypto";

/** A secret that nobody can guess: 256 random bits in base64url, 43 characters. */
export function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** What is kept of a secret. It has 256 bits of chance, so a fast hash is as good as a slow one. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
