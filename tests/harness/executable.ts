import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A user other than root where this is root, and without an entry in the passwd file. */
const stranger = process.getuid?.() === 0 ? { uid: 54_321, gid: 54_321 } : {};

let built: Promise<string> | undefined;

/** Builds the executable once for the whole run; resolves with its path. */
export function buildExecutable(): Promise<string> {
  built ??= (async () => {
    const outfile = join(mkdtempSync(join(tmpdir(), "llmops-build-")), "llmops");
    const child = Bun.spawn([process.execPath, "scripts/build.ts", "--level", "1", "--outfile", outfile], {
      stdout: "ignore",
      stderr: "inherit",
    });
    if ((await child.exited) !== 0) throw new Error("the build failed");
    process.on("exit", () => rmSync(join(outfile, ".."), { recursive: true, force: true }));
    return outfile;
  })();
  return built;
}

/** A finished command. */
export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The executable alone in an empty folder, run as a user who is not root. */
export interface Installation extends Disposable {
  folder: string;
  /** Runs a command to its end. */
  run: (args: string[], env?: Record<string, string>) => Promise<Outcome>;
  /** Starts `serve` on a free port; resolves once it listens. */
  serve: (args: string[], env?: Record<string, string>) => Promise<Service>;
}

/** A running `serve`. */
export interface Service {
  url: string;
  /** Sends a signal and resolves with the exit code, `null` where the signal ended it. */
  end: (signal: NodeJS.Signals) => Promise<number | null>;
}

/** Copies the executable into a new empty folder. */
export async function install(): Promise<Installation> {
  const executable = await buildExecutable();
  const folder = mkdtempSync(join(tmpdir(), "llmops-alone-"));
  copyFileSync(executable, join(folder, "llmops"));
  chmodSync(join(folder, "llmops"), 0o755);
  if (stranger.uid !== undefined) chownSync(folder, stranger.uid, stranger.gid);
  const children = new Set<ChildProcess>();

  const launch = (args: string[], env: Record<string, string>) => {
    const child = spawn(join(folder, "llmops"), args, {
      cwd: folder,
      env: { PATH: "/usr/bin:/bin", HOME: folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...stranger,
    });
    children.add(child);
    child.once("exit", () => children.delete(child));
    const output = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk) => (output.stdout += chunk));
    child.stderr.on("data", (chunk) => (output.stderr += chunk));
    return { child, output };
  };

  return {
    folder,
    async run(args, env = {}) {
      const { child, output } = launch(args, env);
      const [code] = await once(child, "close");
      return { code, ...output };
    },
    async serve(args, env = {}) {
      const { child, output } = launch(["serve", "--port", "0", ...args], env);
      const url = await new Promise<string>((resolve, reject) => {
        const look = () => {
          const found = /listens on (http:\S+)/.exec(output.stderr)?.[1];
          if (found) resolve(found);
        };
        child.stderr.on("data", look);
        child.once("exit", () => reject(new Error(`serve ended: ${output.stderr}`)));
      });
      return {
        url,
        async end(signal) {
          child.kill(signal);
          const [code] = await once(child, "close");
          return code;
        },
      };
    },
    [Symbol.dispose]() {
      for (const child of children) child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
