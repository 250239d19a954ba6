import { UNSAFE_TEXT } from "./unsafe_text.ts";

/** What a peer can be named, in words. */
export const PEER_NAME_RULE = "a name of 1 to 64 printable characters";

const MAX_LENGTH = 64;

/** Whether a peer can have this name: it is printed in every line about the peer. */
export function isPeerName(name: string): boolean {
  return name === name.trim() && name !== "" && [...name].length <= MAX_LENGTH &&
    name.search(UNSAFE_TEXT) < 0;
}

/** `name`, or where that is taken `name-2`, `name-3`, …: for a peer that is added while nobody is there to be asked. */
export function freePeerName(name: string, isTaken: (name: string) => boolean): string {
  let free = name;
  for (let n = 2; isTaken(free); n++) {
    const end = `-${n}`;
    free = [...name].slice(0, MAX_LENGTH - end.length).join("").trimEnd() + end;
  }
  return free;
}
