import type { PeerEvent } from "../domain/events.ts";
import type { Colours } from "./output.ts";
import { escapeText, jsonTime, showPath, showTime } from "./text.ts";

/**
 * An event as one line of a log: time, kind, message; before the message the peer and after it the path, where it does not name
 * them itself. Nothing in it can begin another line.
 */
export function eventLine(event: PeerEvent, atMs: number, colours: Colours): string {
  const { kind, level, message, peer, path } = event;
  const mark = level === "warning" ? colours.yellow : (text: string) => text;
  const words = [colours.dim(showTime(atMs)), mark(kind)];
  if (peer !== undefined && !message.includes(peer)) words.push(escapeText(peer));
  words.push(escapeText(message));
  if (path !== undefined && !message.includes(path)) words.push(showPath(path));
  return words.join(" ");
}

/** An event as one object of a stream. */
export function eventJson(event: PeerEvent, atMs: number) {
  return {
    at: jsonTime(atMs),
    kind: event.kind,
    level: event.level,
    message: event.message,
    path: event.path ?? null,
    peer: event.peer ?? null,
  };
}

/** Whether an event is told: single files only with `--verbose`, with `--quiet` only what needs a person. */
export function isTold(
  event: PeerEvent,
  flags: { readonly quiet: boolean; readonly verbose: boolean },
): boolean {
  if (event.level === "warning") return true;
  if (flags.quiet) return false;
  return event.level === "info" || flags.verbose;
}
