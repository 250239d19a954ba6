import type { Store } from "../store/store.ts";

/**
 * The devices, other than its own, that were seen at a folder: disks that were mounted there and not taken for the one that had been.
 * What was seen on one of them is not deleted when it is not there because another disk is, or none.
 *
 * @param folder Its disk path, `""` for the root.
 */
export function otherDisksAt({ facts }: Store, folder: string): ReadonlySet<number> {
  const devices = facts.get(keyOf(folder));
  return new Set(
    Array.isArray(devices) ? devices.filter((device): device is number => typeof device === "number") : [],
  );
}

/** Another disk is at a folder now. To be called before anything that is seen on it is written down. */
export function noteOtherDisk(store: Store, folder: string, device: number): void {
  const devices = otherDisksAt(store, folder);
  if (!devices.has(device)) store.facts.set(keyOf(folder), [...devices, device]);
}

/** A device is the folder's own from now on. */
export function forgetOtherDisk(store: Store, folder: string, device: number): void {
  const devices = otherDisksAt(store, folder);
  if (!devices.has(device)) return;
  const rest = [...devices].filter((each) => each !== device);
  if (rest.length > 0) store.facts.set(keyOf(folder), rest);
  else store.facts.remove(keyOf(folder));
}

function keyOf(folder: string): string {
  return `other_disks:${folder}`;
}
