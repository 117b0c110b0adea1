import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** A finished command. */
export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A running command. */
export interface Running {
  pid: number;
  /** Resolves with what the pattern's first group matched on stderr; rejects if the command ends before. */
  said: (pattern: RegExp) => Promise<string>;
  signal: (signal: NodeJS.Signals) => void;
  finished: Promise<Finished>;
}

/** The program in an empty folder, with a home of its own and nothing of this process's environment. */
export interface Program extends Disposable {
  folder: string;
  start: (args: string[], environment?: Record<string, string>) => Running;
  run: (args: string[], environment?: Record<string, string>) => Promise<Finished>;
}

/** The program as it is run from its sources. */
const sources = [process.execPath, `--config=${join(root, "bunfig.toml")}`, join(root, "src/main.ts")];

/** Prepares the program, which `command` starts; disposing kills what still runs and removes the folder. */
export function createProgram({ command = sources }: { command?: readonly string[] } = {}): Program {
  const home = mkdtempSync(join(tmpdir(), "llmops-program-"));
  const folder = join(home, "work");
  mkdirSync(folder);
  const children = new Set<ChildProcess>();

  const start: Program["start"] = (args, environment = {}) => {
    const [file = "", ...before] = command;
    const child = spawn(file, [...before, ...args], {
      cwd: folder,
      env: { PATH: "/usr/bin:/bin", HOME: home, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.add(child);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => (stdout += chunk));
    child.stderr.on("data", (chunk) => (stderr += chunk));
    const finished = once(child, "close").then(([code]) => {
      children.delete(child);
      return { code, stdout, stderr };
    });
    return {
      pid: child.pid ?? 0,
      finished,
      signal: (signal) => void child.kill(signal),
      said: (pattern) =>
        new Promise((resolve, reject) => {
          const look = () => {
            const found = pattern.exec(stderr);
            if (!found) return;
            child.stderr.off("data", look);
            resolve(found[1] ?? found[0]);
          };
          child.stderr.on("data", look);
          look();
          void finished.then(() => reject(new Error(`it ended without saying ${pattern}: ${stderr}`)));
        }),
    };
  };

  return {
    folder,
    start,
    run: (args, environment) => start(args, environment).finished,
    [Symbol.dispose]() {
      for (const child of children) child.kill("SIGKILL");
      rmSync(home, { recursive: true, force: true });
    },
  };
}
