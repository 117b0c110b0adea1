import type { Config } from "../config/config.ts";
import type { SettingName } from "../config/settings.ts";
import type { Log } from "../log.ts";

/** Where a command reads from and writes to. */
export interface Terminal {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  /** Standard error is a terminal: logs are coloured, progress is shown. */
  terminal: boolean;
}

/** A flag: what it takes, what it is for, and the setting it overrides, if any. */
export interface Flag {
  type: "string" | "boolean";
  value?: string;
  help: string;
  setting?: SettingName;
  /** The subcommands that take it; without this all do. */
  only?: readonly string[];
  /** Not to be left out. */
  required?: boolean;
}

/** What a command gets to work with. */
export interface Invocation extends Terminal {
  /** What stands behind the command's name and is no flag. */
  operands: string[];
  flags: Readonly<Record<string, string | boolean | undefined>>;
  /** The settings; read on first use, so that help needs none. */
  config: () => Config;
  log: () => Log;
}

/** One command of the program. */
export interface Command {
  name: string;
  /** Operands as the usage shows them; the names of subcommands where there are any. */
  usage?: readonly string[];
  summary: string;
  flags?: Readonly<Record<string, Flag>>;
  /** The exit code. @throws {StartupError} it could not be done, and why. */
  run(invocation: Invocation): Promise<number>;
}

/** The flag of every command that may touch the embedded database. */
export const dataDirFlag: Readonly<Record<string, Flag>> = {
  "data-dir": {
    type: "string",
    value: "D",
    help: "data folder (LLMOPS_DATA_DIR)",
    setting: "LLMOPS_DATA_DIR",
  },
};
