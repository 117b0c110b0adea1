import { join } from "node:path";

/** A child process that says where it listens, and ends with its scope. */
export interface Child extends AsyncDisposable {
  url: string;
  /** Resident memory, in MiB; Linux only, elsewhere NaN. */
  memoryMib(): Promise<number>;
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
