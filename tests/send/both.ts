import assert from "node:assert/strict";
import { Link } from "../../src/link/link.ts";
import { eventually } from "../helpers/eventually.ts";
import { assertSameTree, snapshot } from "../helpers/tree.ts";
import { EXTENSIONS } from "../../src/wire/hello.ts";
import { ReceiveBench } from "../receive/bench.ts";
import { connectionPair, copiesIn, helloOf } from "../receive/support.ts";
import { SendBench } from "./bench.ts";

/** A real sender and a real receiver. */
export class Both implements AsyncDisposable {
  private constructor(readonly out: SendBench, readonly into: ReceiveBench) {}

  static async mirrored(): Promise<Both> {
    const both = new Both(await SendBench.open(), await ReceiveBench.open());
    for (const path of ["d/a", "d/b", "d/e/c", "top"]) await both.out.write(path, `content of ${path}`);
    await both.out.write("big", "x".repeat(400_000));
    await both.out.observe("d", "d/a", "d/b", "d/e", "d/e/c", "top", "big");
    both.connect();
    await both.same();
    return both;
  }

  /** A new link; the old one is closed. */
  connect(): void {
    this.out.link?.close(new Error("replaced") as never);
    const [near, far] = connectionPair("anna", "bert");
    const { anna, clock, random, receiver } = this.into;
    const link = new Link({ connection: far, peer: anna, clock, random });
    link.becomeFull(helloOf("anna"), helloOf("bert"));
    void link.serve((l, header, content) => receiver.onFrame(l, header, content))
      .then((error) => link.close(error ?? new Error("ended") as never));
    void link.closed.then(() => receiver.release(link));
    this.out.join(
      new Link({
        connection: near,
        peer: { number: this.out.peer, name: "bert" },
        clock: this.out.clock,
        random,
      }),
      { extensions: EXTENSIONS },
    );
  }

  async same(): Promise<void> {
    await this.out.inSync();
    await eventually("the folders are equal", async () => {
      assertSameTree(await snapshot(this.out.watched), await snapshot(this.into.synced));
    }, { deadlineMs: 5000 });
    assert.deepEqual(
      this.out.store.acked.below(this.out.peer, ""),
      [...this.into.store.synced.each(this.into.anna.number)],
      "both databases believe the same",
    );
    assert.deepEqual(await copiesIn(this.into.synced), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.out[Symbol.asyncDispose]();
    await this.into[Symbol.asyncDispose]();
  }
}
