import type { TransferStatus } from "../domain/status.ts";
import { showBytes, showDuration } from "./text.ts";

/** How fast a transfer gets on and how long it still takes, as far as that is known: `2.1 MB/s`, `3 min 20 s left`. */
export function speed(
  { bytesPerSecond, leftMs }: Pick<TransferStatus, "bytesPerSecond" | "leftMs">,
): string[] {
  return [
    ...(bytesPerSecond === null ? [] : [`${showBytes(bytesPerSecond)}/s`]),
    ...(leftMs === null ? [] : [`${showDuration(leftMs)} left`]),
  ];
}
