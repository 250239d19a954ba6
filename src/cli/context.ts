import { InvalidArgumentError } from "commander";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Actor } from "../auth/auth.ts";
import type { Address } from "../domain/ports.ts";
import type { Role } from "../domain/role.ts";
import { parseAddress } from "../link/address.ts";
import { BYTE_RATE_RULE, parseByteRate } from "./byte_rate.ts";
import { BYTE_SIZE_RULE, parseByteSize } from "./byte_size.ts";
import type { Home } from "./home.ts";
import type { Input } from "./input.ts";
import type { Output } from "./output.ts";

/** This program, as it was started. */
export interface ThisProgram {
  readonly version: string;
  /** The words that start it, before its own arguments; paths are absolute. */
  readonly command: readonly string[];
}

/** What a command is given that everyone may run: it does not know who runs it. */
export interface OpenContext {
  readonly home: Home;
  readonly output: Output;
  readonly input: Input;
  readonly env: (name: string) => string | undefined;
  readonly program: ThisProgram;
}

/** What every other command is given. */
export interface Context extends OpenContext {
  /** On whose behalf it runs. */
  readonly actor: Actor;
}

/** Who may run a command: whoever has a role, or everyone, logged in or not. */
export type Access = Role | "everyone";

/**
 * How a command's file hands its run function to the command line, with the role that it needs. The command line runs it only for
 * somebody who has that role, gives it the context and turns errors into statuses. There is no other way to a context, so a
 * command without a role does not compile.
 */
export interface Action {
  <A extends unknown[]>(
    access: Role,
    run: (context: Context, ...args: A) => Promise<number>,
  ): (...args: A) => Promise<void>;
  <A extends unknown[]>(
    access: "everyone",
    run: (context: OpenContext, ...args: A) => Promise<number>,
  ): (...args: A) => Promise<void>;
}

/** Reads the value of a flag that is an address; commander names the flag when it throws. */
export function addressFlag(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof MirrorError) throw new InvalidArgumentError(messageOf(error));
    throw error;
  }
}

/** The same for the address of another computer, which has a port that is known. */
export function peerAddressFlag(text: string): Address {
  const address = addressFlag(text);
  if (address.port === 0) {
    throw new InvalidArgumentError("Port 0 is only for listening: name the other computer's port.");
  }
  return address;
}

/** Reads the value of a flag that is a limit in bytes a second. (`null` would be no value at all to commander.) */
export function byteRateFlag(text: string): number | "none" {
  try {
    return parseByteRate(text) ?? "none";
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}. It must be ${BYTE_RATE_RULE}.`);
  }
}

/** Reads the value of a flag that is a size. (`null` would be no value at all to commander.) */
export function byteSizeFlag(text: string): number | "none" {
  try {
    return parseByteSize(text) ?? "none";
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}. It must be ${BYTE_SIZE_RULE}.`);
  }
}
