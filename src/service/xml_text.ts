import { MirrorError } from "../domain/mirror_error.ts";

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};
const CHARACTERS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(ENTITIES).map(([character, entity]) => [entity, character]),
);

/**
 * Text as it stands between the tags of an XML 1.0 document.
 *
 * @throws {MirrorError} `bad_folder` for characters that XML has no way to write.
 */
export function xmlText(text: string): string {
  // deno-lint-ignore no-control-regex -- these are what it looks for
  if (/[\u0000-\u001f\u007f\ufffe\uffff]/.test(text) || !text.isWellFormed()) {
    throw new MirrorError(
      "bad_folder",
      `${JSON.stringify(text)} has characters in it that the definition of a service cannot hold: rename it`,
    );
  }
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character]!);
}

/** What {@linkcode xmlText} was given. */
export function plainText(text: string): string {
  return text.replace(/&(?:amp|lt|gt|quot);/g, (entity) => CHARACTERS[entity]!);
}
