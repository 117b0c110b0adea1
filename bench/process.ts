import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** A child process that says where it listens, and ends with its scope. */
export interface Child extends AsyncDisposable {
  url: string;
  pid: number;
  /** Resident memory, in MiB; Linux only, elsewhere NaN. */
  memoryMib(): Promise<number>;
  /** CPU time of the process and of all below it so far, in milliseconds; Linux only, elsewhere 0. */
  cpuMs(): Promise<number>;
}

/** Length of the unit in which Linux counts CPU time, in milliseconds. */
const tickMs = 10;

/** CPU time of a process and of all below it. */
async function cpuMsOf(root: number): Promise<number> {
  const names = await readdir("/proc").catch(() => []);
  const parents = new Map<number, { parent: number; ms: number }>();
  for (const pid of names.filter((name) => /^\d+$/.test(name)).map(Number)) {
    const stat = await Bun.file(`/proc/${pid}/stat`)
      .text()
      .catch(() => "");
    // The name before may hold spaces and brackets (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    parents.set(pid, { parent: Number(fields[1]), ms: (Number(fields[11]) + Number(fields[12])) * tickMs });
  }
  const isBelow = (pid: number): boolean =>
    pid === root || (pid > 1 && isBelow(parents.get(pid)?.parent ?? 0));
  return [...parents].reduce((total, [pid, { ms }]) => total + (isBelow(pid) ? ms : 0), 0);
}

let count = 0;

/**
 * Starts a command and waits for the first `http://…` that it prints. Its output goes to a file in `folder`, as it would
 * on a server: a pipe would have to be read by the process that measures.
 */
export async function start(
  command: string[],
  { folder, env = {} }: { folder: string; env?: Record<string, string> },
): Promise<Child> {
  const output = Bun.file(join(folder, `output-${++count}.log`));
  await output.write("");
  const child = Bun.spawn(command, { cwd: folder, env, stdin: "ignore", stdout: output, stderr: output });
  let url: string | undefined;
  while (!url) {
    url = /http:\/\/[\w.]+:\d+/.exec(await output.text())?.[0];
    if (!url && child.exitCode !== null)
      throw new Error(`${command.join(" ")} ended: ${await output.text()}`);
    if (!url) await Bun.sleep(5);
  }
  return {
    url,
    pid: child.pid,
    cpuMs: () => cpuMsOf(child.pid),
    async memoryMib() {
      const status = await Bun.file(`/proc/${child.pid}/status`)
        .text()
        .catch(() => "");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

/** Time that a process has had of the processors by now, in milliseconds; Linux only. */
export async function cpuMs(pid: number): Promise<number> {
  const stat = await Bun.file(`/proc/${pid}/stat`).text();
  // After the name, which may hold anything; the clock of these figures has 100 ticks a second.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
