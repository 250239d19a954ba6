import type { Connection, Network } from "../../../src/domain/ports.ts";
import { type Endpoint, Hub } from "../../simulation/hub.ts";
import { FrameSplitter, type WholeFrame } from "./frame_splitter.ts";

/** A network on which every frame passes through the hands of a test on its way from one machine to the other. */
export class TappedHub extends Hub {
  /** Told of each frame that reaches a machine; gives the bytes that take its place. */
  onArrival: (to: string, frame: WholeFrame) => Uint8Array = (_, { bytes }) => bytes;

  override networkOf(endpoint: Endpoint): Network {
    const inner = super.networkOf(endpoint);
    return {
      listen: (address, onConnection) =>
        inner.listen(address, (connection) => onConnection(this.#tapped(endpoint.name, connection))),
      dial: async (address, expect, signal) =>
        this.#tapped(endpoint.name, await inner.dial(address, expect, signal)),
    };
  }

  #tapped(name: string, connection: Connection): Connection {
    const splitter = new FrameSplitter();
    return {
      peerFingerprint: connection.peerFingerprint,
      remoteAddress: connection.remoteAddress,
      dialled: connection.dialled,
      read: async () => {
        for (;;) {
          const bytes = await connection.read();
          if (bytes === null) return null;
          const arrived = splitter.push(bytes).map((frame) => this.onArrival(name, frame));
          const total = arrived.reduce((sum, each) => sum + each.length, 0);
          if (total === 0) continue;
          const all = new Uint8Array(total);
          let at = 0;
          for (const each of arrived) {
            all.set(each, at);
            at += each.length;
          }
          return all;
        }
      },
      write: (bytes) => connection.write(bytes),
      closeWrite: () => connection.closeWrite(),
      close: () => connection.close(),
    };
  }
}
