import type { Address } from "../domain/ports.ts";
import { DEFAULT_PORT } from "../link/address.ts";

/**
 * Where to listen when nobody has said: every address of this computer, IPv4 and IPv6.
 *
 * `[::]` takes both where the system lets one socket do so: Linux and macOS as a rule, Windows not; and with IPv6 switched off
 * it fails. So it is tried out, on a port of the system's choice, and `0.0.0.0` stands in where it does not take IPv4 too.
 */
export async function defaultListenAddress(): Promise<Address> {
  return { host: await takesBoth() ? "::" : "0.0.0.0", port: DEFAULT_PORT };
}

async function takesBoth(): Promise<boolean> {
  try {
    using listener = Deno.listen({ hostname: "::", port: 0 });
    using _connection = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    return true;
  } catch {
    return false;
  }
}
