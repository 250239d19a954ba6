import type { Operation } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";

/**
 * Checks the SHA-256 of content that came for an operation, in hex.
 *
 * @throws {MirrorError} `hash_mismatch`.
 */
export function checkHash(operation: Operation, actual: string): void {
  if (actual === operation.hash) return;
  throw new MirrorError(
    "hash_mismatch",
    `the content of ${operation.path} does not have the SHA-256 that its header says`,
  );
}
