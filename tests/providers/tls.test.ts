import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** An authority that nobody knows, and a certificate of its for `models.example`. */
async function certificates(folder: string) {
  const openssl = async (...args: string[]) => {
    const child = Bun.spawn(["openssl", ...args], { cwd: folder, stdout: "ignore", stderr: "pipe" });
    if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "2",
    "-subj",
    "/CN=ca",
  );
  await openssl("req", ...key, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=models.example");
  await Bun.write(join(folder, "names"), "subjectAltName=DNS:models.example");
  const sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
  await openssl("x509", "-req", "-in", "own.csr", ...sign, "-out", "own.pem");
  const read = (name: string) => Bun.file(join(folder, name)).text();
  return { cert: await read("own.pem"), key: await read("own.key"), authority: join(folder, "ca.pem") };
}

test("a provider is believed for the name in its certificate alone, and told which name is meant", async () => {
  const folder = await mkdtemp(join(tmpdir(), "llmops-tls-"));
  const { cert, key, authority } = await certificates(folder);
  const hosts: unknown[] = [];
  const server = createServer({ cert, key }, (request, response) => {
    hosts.push([request.headers.host, (request.socket as unknown as { servername: string }).servername]);
    request.resume().on("end", () => response.end("hello"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const ask = async (name: string, trusted: boolean) => {
    const child = Bun.spawn(
      [process.execPath, join(root, "tests/harness/tls-child.ts"), name, String(port)],
      {
        env: { ...process.env, ...(trusted && { NODE_EXTRA_CA_CERTS: authority }) },
        stdout: "pipe",
      },
    );
    return (await new Response(child.stdout).text()).trim();
  };
  try {
    expect(await ask("models.example", true)).toBe("hello");
    expect(hosts).toEqual([[`models.example:${port}`, "models.example"]]);
    expect(await ask("other.example", true)).toStartWith("unreachable: Error: Hostname/IP does not match");
    expect(await ask("models.example", false)).toStartWith("unreachable: Error: unable to verify");
    expect(hosts).toHaveLength(1);
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
});
