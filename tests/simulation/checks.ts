import { createHash } from "node:crypto";
import { foldedPath } from "../../src/domain/plan.ts";
import { LOCAL_TRASH, nameOf, STAGING_FOLDER } from "../../src/domain/relative_path.ts";
import { hashOfNode } from "./contents.ts";
import type { Machine } from "./machine.ts";
import type { Node } from "./memory_nodes.ts";
import type { MemoryTree } from "./memory_tree.ts";

/** A file or folder as it matters to a mirror. */
function shown(node: Node): string {
  if (node.kind === "folder") return "a folder";
  return `${node.executable ? "an executable" : "a"} file ${
    hashOfNode(node).slice(0, 12)
  } (${node.content.length} bytes, ` +
    `mtime ${node.mtimeMs})`;
}

/** A tree in lines, to be compared. */
export function pictureOf(tree: MemoryTree): Map<string, string> {
  const picture = new Map<string, string>();
  for (const [path, node] of tree.all()) picture.set(path, shown(node));
  return picture;
}

const EMPTY = createHash("sha256").digest("hex");
const COPY = /\.conflict-\d{8}-\d{6}|^recovered\.conflict-/;

export function isCopy(path: string): boolean {
  return COPY.test(nameOf(path));
}

/** Where a mirror differs from its source. What users of the mirror's computer have done there themselves may stay. */
export function differences(from: Machine, to: Machine, touched: ReadonlySet<string>): string[] {
  const wanted = pictureOf(from.watched);
  const there = pictureOf(to.synced);
  const found: string[] = [];
  // A user may have named a file below a folder that has another spelling on the disk.
  const spelt = (path: string) => to.folds ? foldAll(path) : path;
  const own = new Set([...touched].map(spelt));
  const respelt = to.folds ? respellings(wanted, there, to, touched) : new Map<string, string>();
  for (const [path, picture] of wanted) {
    const now = there.get(respelt.get(path) ?? path);
    if (now !== picture) found.push(`${path}: ${from.name} has ${picture}, ${to.name} ${now ?? "nothing"}`);
  }
  const taken = new Set(respelt.values());
  for (const [path, picture] of there) {
    if (wanted.has(path) || taken.has(path)) continue;
    // A disk that failed while it was tried out whether the home's trash can be used: the other one stays.
    const isTrash = path === LOCAL_TRASH || path.startsWith(`${LOCAL_TRASH}/`);
    if (isTrash || (path === STAGING_FOLDER && there.has(LOCAL_TRASH))) continue;
    if (path === STAGING_FOLDER || path.startsWith(`${STAGING_FOLDER}/`)) {
      found.push(`${path} was left in ${to.name}'s staging folder`);
    } else if (
      !path.split("/").some(isCopy) && !isOwn(spelt(path), picture, there, spelt, own) && !to.wasRolledBack
    ) {
      // A machine that was taken back to a database without a file's row does not know whose it is: it stays.
      found.push(`${path} was left on ${to.name}: ${picture}`);
    }
  }
  return found;
}

/**
 * Where names fold, a folder that cannot go because it holds something of this computer's user keeps its spelling, and takes in what
 * comes under another one. So does one whose making a failing disk let nobody know of. Tells for such paths under which spelling they are there.
 */
function respellings(
  wanted: ReadonlyMap<string, string>,
  there: ReadonlyMap<string, string>,
  to: Machine,
  touched: ReadonlySet<string>,
): Map<string, string> {
  const held = new Set<string>();
  for (const own of [...touched, ...[...there.keys()].filter(isCopy)]) {
    for (let at = foldAll(own); at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) held.add(at);
  }
  const spelt = new Map([...there.keys()].map((path) => [foldAll(path), path]));
  const found = new Map<string, string>();
  for (const path of wanted.keys()) {
    const other = spelt.get(foldAll(path));
    if (there.has(path) || other === undefined) continue;
    const top = foldAll(path).split("/")[0]!;
    if (to.wasRolledBack || to.everHadBadDisk || held.has(top)) found.set(path, other);
  }
  return found;
}

function foldAll(path: string): string {
  return foldedPath(path, { case: true, unicode: true });
}

/** Whether a path is there because of what a user of this computer did. */
function isOwn(
  path: string,
  picture: string,
  there: ReadonlyMap<string, string>,
  spelt: (path: string) => string,
  touched: ReadonlySet<string>,
): boolean {
  for (const own of touched) if (path === own || path.startsWith(`${own}/`)) return true;
  if (picture !== "a folder") return false;
  for (const own of touched) if (own.startsWith(`${path}/`)) return true;
  for (const other of there.keys()) if (spelt(other).startsWith(`${path}/`) && isCopy(other)) return true;
  return false;
}

/**
 * Contents that a user has written, not overwritten or deleted, and that are nowhere any more. An empty file has no bytes to lose: in the
 * place of one that was acknowledged it passes for what a power cut has left (src/receive/replay.ts).
 */
export function lostContents(
  tree: MemoryTree,
  kept: readonly (readonly [hash: string, path: string])[],
): string[] {
  const there = new Set([EMPTY]);
  for (const [, node] of tree.all()) if (node.kind === "file") there.add(hashOfNode(node));
  return kept.filter(([hash]) => !there.has(hash)).map(([hash, path]) =>
    `what a user had saved as ${tree.root}/${path} (${hash.slice(0, 12)}) is nowhere any more`
  );
}

/** What the log of a machine does not tell although it should. */
export function untold(from: Machine, to: Machine): string[] {
  if (to.wasRolledBack) return [];
  const log = to.store.log.newest(-1, null);
  // By its name: a user may have moved the copy since.
  const noted = new Set(log.filter((row) => row.action === "conflict").map((row) => nameOf(row.path)));
  const found: string[] = [];
  for (const [path, node] of to.synced.all()) {
    if (isCopy(path) && node.kind === "file" && !noted.has(nameOf(path))) found.push(`${path} on ${to.name}`);
  }
  const brought = new Set(
    log.filter((row) => (row.status === "ok" && row.direction === "received") || row.action === "recovered")
      .map((row) => row.hash),
  );
  for (const [path, node] of from.watched.all()) {
    if (node.kind === "file" && !brought.has(hashOfNode(node))) found.push(`${path}, which ${to.name} has`);
  }
  return found;
}

export function leftPending({ name, store }: Machine): string[] {
  return store.peers.list().flatMap(({ number }) =>
    store.pending.list(number).map((row) =>
      `${name} has not sent ${row.path} (${row.action}, ${row.state}: ${
        row.reason ?? "no reason"
      }, ${row.attempts} attempts)`
    )
  );
}
