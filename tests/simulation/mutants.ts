/** One fault that is planted in a copy of the program. The text to be replaced must be there exactly once. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Faults that the simulator has to find. Each takes away one thing that the program does so that nothing gets lost. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "acknowledged before the content is flushed",
    file: "src/receive/committer.ts",
    from: "(step) => this.#guard(step, () => step.staged!.handle.flush()),",
    to: "() => Promise.resolve(),",
  },
  {
    name: "acknowledged before the journal is flushed",
    file: "src/receive/committer.ts",
    from: "await lump?.flush();",
    to: "",
  },
  {
    name: "acknowledged before the folders are flushed",
    file: "src/receive/committer.ts",
    from: "await this.#flushFolders(steps, changed.toFlush);",
    to: "",
  },
  {
    name: "the content's hash is not checked",
    file: "src/receive/check_hash.ts",
    from: "if (actual === operation.hash) return;",
    to: "if (actual !== null) return;",
  },
  {
    name: "events are taken for the truth: no scan looks after them",
    file: "src/watch/observer.ts",
    from: "if (!this.#stopped) this.#wantFull(nextMs);",
    to: "",
  },
  {
    name: "an edit by hand is overwritten without a copy",
    file: "src/receive/apply.ts",
    from: 'if (now.kind !== "file" || !await this.#isReplaceable(path, now, row, wanted)) {',
    to: 'if (now.kind !== "file") {',
  },
  {
    name: "an edit by hand is deleted without a copy",
    file: "src/receive/apply.ts",
    from: "if (await this.#isOurs(path, now, row)) {\n      const before",
    to: "if (row !== null) {\n      const before",
  },
  {
    name: "an edit in the moment of the commit passes for the peer's version",
    file: "src/receive/apply.ts",
    from: "const disk = await markOf(this.#tree, path, wanted, this.#clock);",
    to: "const disk = await this.#tree.lstat(path);",
  },
  {
    name: "one pending row is dropped at restart",
    file: "src/send/pending_plan.ts",
    from: "for (const path of [...store.pending.paths(peer)]) replanPath(store, peer, path, nowMs);",
    to: "for (const path of [...store.pending.paths(peer)].slice(0, 1)) store.pending.remove(peer, path);",
  },
  {
    name: "acks are believed: trees are not compared",
    file: "src/send/sender.ts",
    from: 'this.#compared = !link.has("tree");',
    to: "this.#compared = true;",
  },
  {
    name: "a refusal is recorded as an ack",
    file: "src/send/sender.ts",
    from: 'if (reply.status === "ok") {\n      if (recordAck',
    to: "if (reply.status !== undefined) {\n      if (recordAck",
  },
  {
    name: "journals are not replayed after a crash",
    file: "src/receive/recover.ts",
    from: "await replay.committed();",
    to: "",
  },
  {
    name: "commits that had begun are not recovered",
    file: "src/receive/recover.ts",
    from: "for (const intent of begun) await recoverPath(parts, intent);",
    to: "if (begun.length < 0) await recoverPath(parts, begun[0]!);",
  },
  {
    name: "the rows of a group are not written",
    file: "src/receive/committer.ts",
    from: "this.#recordRows(steps, lump, changed.trashed);",
    to: "if (steps.length > 1) this.#recordRows(steps, lump, changed.trashed);",
  },
  {
    name: "synced/ is not looked through before trees are compared",
    file: "src/receive/receiver.ts",
    from: 'if (header["action"] === "tree") await this.inspect(link.peer);',
    to: "",
  },
  {
    name: "a deletion that is found done counts as durable",
    file: "src/receive/apply.ts",
    from: "if (now === null) {\n      group.toFlush.add(parent);",
    to: "if (now === null) {",
  },
  {
    name: "what comes as a group ends is forgotten until the next one",
    file: "src/receive/committer.ts",
    from:
      "this.#scheduled = false;\n        }\n        this.#journal.rest();\n        await this.#staging.tidy();",
    to:
      "this.#journal.rest();\n        }\n        await this.#staging.tidy();\n        this.#scheduled = false;",
  },
  {
    name: "a file that is here whole is waited for after a cut",
    file: "src/receive/transfer.ts",
    from: "if (this.#marks?.has(operation.sizeBytes)) await this.#goOnAt(operation.sizeBytes);",
    to: "",
  },
  {
    name: "recovery takes the version before, of the same content, for the new one",
    file: "src/receive/recover_path.ts",
    from: 'state.kind === "folder" ? now : await completed(parts, path, now!, state);',
    to: "now;",
  },
  {
    name: "what a failing flush has left in place counts as held",
    file: "src/receive/inspect.ts",
    from: "if (isDoubtful(row)) return await settled(tree, clock, row);",
    to: "",
  },
  {
    name: "a deletion is forgotten when its file was being sent",
    file: "src/domain/plan.ts",
    from: 'return acked === null ? null : { action: "delete", kind: acked.kind, sizeBytes: 0 };',
    to: 'return acked?.kind === "folder" ? { action: "delete", kind: acked.kind, sizeBytes: 0 } : null;',
  },
];
