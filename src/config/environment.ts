import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { StartupError } from "../errors/startup.ts";
import type { Variables } from "./config.ts";

/** The process's environment. The only place that reads it. */
export const environment = (): Variables => process.env;

/**
 * The `.env` file of the working directory; empty where there is none.
 * @throws {StartupError} the file is there but cannot be read.
 */
export function readDotenv(path = ".env"): Variables {
  try {
    return parseEnv(readFileSync(path, "utf8"));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "EISDIR" || code === "ENOTDIR") return {};
    throw new StartupError(
      `The file .env in the working directory cannot be read (${code}); mend its permissions, or start elsewhere`,
      { cause },
    );
  }
}
