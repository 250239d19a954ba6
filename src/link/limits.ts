import type { Clock } from "../domain/ports.ts";
import type { Hello } from "../wire/hello.ts";
import type { Pace } from "../wire/pace.ts";
import { JointPace } from "./joint_pace.ts";
import { Pacer } from "./pacer.ts";

/** The paces that all links of a peer share, one for each direction. */
export interface Limits {
  readonly send: Pacer;
  readonly receive: Pacer;
}

/** Pieces under a limit stand for this long: a save that is made meanwhile waits no longer… */
const PIECE_MS = 100;
/** …but what a piece has beside its content (about 400 bytes) must stay little beside it. */
const MIN_PIECE_BYTES = 16 * 1024;
const MAX_PIECE_BYTES = 256 * 1024;
/**
 * How much of what the receiver asks for is sent: a little less, so that what piled up while it was busy gets less again. Else it
 * would stay on the way to the end of the transfer, and every save would wait behind it.
 */
const SHARE_OF_THEIRS = 0.98;

/** The same rate in both directions, each by itself. */
export function limitsOf(bytesPerSecond: number, clock: Clock): Limits {
  return { send: new Pacer(bytesPerSecond, clock), receive: new Pacer(bytesPerSecond, clock) };
}

/** How fast a link may send: as its own side allows, and as the peer has asked for. */
export function paceTowards(theirs: Hello, limits: Limits | null, clock: Clock): Pace | null {
  const asked = theirs.receiveBytesPerSecond;
  if (asked === undefined) return limits?.send ?? null;
  const own = new Pacer(asked * SHARE_OF_THEIRS, clock);
  return limits === null ? own : new JointPace(own, limits.send);
}

/** How long a piece of a large file may be where bytes go at `pace`. */
export function pieceBytesAt(pace: Pace | null): number {
  if (pace === null) return MAX_PIECE_BYTES;
  const bytes = Math.ceil(pace.bytesPerSecond * PIECE_MS / 1000);
  return Math.min(MAX_PIECE_BYTES, Math.max(MIN_PIECE_BYTES, bytes));
}
