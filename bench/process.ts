/** A child process that says where it listens, and ends with its scope. */
export interface Child extends AsyncDisposable {
  url: string;
  /** Resident memory, in MiB; Linux only, elsewhere NaN. */
  memoryMib(): Promise<number>;
}

/** Starts a command and waits for the first `http://…` that it prints, on either stream. */
export async function start(
  command: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Child> {
  const child = Bun.spawn(command, { ...options, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const url = await Promise.any([firstUrl(child.stdout), firstUrl(child.stderr)]).catch(() => {
    throw new Error(`${command.join(" ")} ended without saying where it listens`);
  });
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

/** Reads on after the first URL, so that the child never waits for its reader. */
function firstUrl(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Promise((resolve, reject) => {
    (async () => {
      let text = "";
      const decoder = new TextDecoder();
      for await (const chunk of stream) {
        if (text.length > 100_000) continue;
        text += decoder.decode(chunk, { stream: true });
        const url = /http:\/\/[\w.]+:\d+/.exec(text)?.[0];
        if (url) resolve(url);
      }
      reject(new Error(text));
    })();
  });
}
