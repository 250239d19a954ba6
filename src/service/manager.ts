/** What is to run by itself. */
export interface ServiceSpec {
  /** The program and its arguments; paths in it are absolute. */
  readonly command: readonly string[];
  /** The home: where it works, and where it leaves what it has to say if the system keeps no journal. */
  readonly home: string;
}

/** One step of installing or removing a service, so that it can be shown before it is done. */
export type Step =
  | { readonly kind: "write"; readonly path: string; readonly text: string; readonly bytes: Uint8Array }
  | { readonly kind: "remove"; readonly path: string }
  /**
   * `mayFail`: what it is to bring about may be so already. `againMs`: for so long it is tried again when it fails, because the step
   * before it may still be going on.
   */
  | {
    readonly kind: "run";
    readonly command: readonly string[];
    readonly mayFail: boolean;
    readonly againMs?: number;
  };

/** What the system says of the service. */
export interface ServiceState {
  readonly installed: boolean;
  readonly running: boolean;
  /** `null` when it does not run, or the system does not tell. */
  readonly pid: number | null;
  /** The exit status of the last run that has ended, or how it ended; `null` when nothing is known. */
  readonly lastEnd: string | null;
}

/** How a program is run and its words are collected; a test hands in its own. */
export type RunProgram = (command: readonly string[]) => Promise<ProgramResult>;

/** What a program left behind. */
export interface ProgramResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What starts programs by itself on one kind of system, for one user. */
export interface ServiceManager {
  /** What the service is called there, for messages: "systemd user unit". */
  readonly kind: string;
  /** The file that defines the service. */
  readonly path: string;
  /** What that file says. @throws {MirrorError} `bad_folder` when a path cannot be written in such a file. */
  definition(spec: ServiceSpec): string;
  /** The home that a definition is for; `null` when none can be read in it. */
  homeIn(definition: string): string | null;
  /** Installs it and starts it; what is there of that name is replaced. */
  install(spec: ServiceSpec): readonly Step[];
  /** Stops it and removes it. */
  uninstall(): readonly Step[];
  /** @throws {MirrorError} `failed` when the system's manager cannot be asked. */
  state(run: RunProgram): Promise<ServiceState>;
  /** What a person should know after installing, and where its words are. */
  readonly hints: readonly string[];
}

/** What a manager needs to know of the user. */
export interface UserFacts {
  readonly os: typeof Deno.build.os;
  readonly env: (name: string) => string | undefined;
  /** `null` where users have no numbers. */
  readonly uid: number | null;
}
