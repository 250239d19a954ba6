import { InvalidArgumentError } from "commander";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address } from "../domain/ports.ts";
import { parseAddress } from "../link/address.ts";
import { BYTE_RATE_RULE, parseByteRate } from "./byte_rate.ts";
import type { Home } from "./home.ts";
import type { Output } from "./output.ts";

/** What every command is given. */
export interface Context {
  readonly home: Home;
  readonly output: Output;
  readonly version: string;
}

/** How a command's file hands its run function to the command line, which gives it the context and turns errors into statuses. */
export type Action = <A extends unknown[]>(
  run: (context: Context, ...args: A) => Promise<number>,
) => (...args: A) => Promise<void>;

/** Reads the value of a flag that is an address; commander names the flag when it throws. */
export function addressFlag(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof MirrorError) throw new InvalidArgumentError(messageOf(error));
    throw error;
  }
}

/** Reads the value of a flag that is a limit in bytes a second. (`null` would be no value at all to commander.) */
export function byteRateFlag(text: string): number | "none" {
  try {
    return parseByteRate(text) ?? "none";
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}. It must be ${BYTE_RATE_RULE}.`);
  }
}
