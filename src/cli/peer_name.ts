import { escapeText } from "./text.ts";

/** What a peer can be named, in words. */
export const PEER_NAME_RULE = "a name of 1 to 64 printable characters";

/** Whether a peer can have this name: it is printed in every line about the peer. */
export function isPeerName(name: string): boolean {
  return name === name.trim() && name !== "" && [...name].length <= 64 && escapeText(name) === name;
}
