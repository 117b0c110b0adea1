import { UpstreamError } from "../../src/errors/app-error.ts";
import { createTransport } from "../../src/providers/transport.ts";

/**
 * Asks `https://NAME:PORT/` as if the name led to this machine, and prints the answer or what went wrong. A process of its own,
 * since which certificates are trusted is settled when one starts.
 */
const [name = "", port = ""] = process.argv.slice(2);
const timeouts = { connectMs: 10_000, firstByteMs: 10_000, idleMs: 10_000, totalMs: 20_000 };
using transport = createTransport({
  connect: async () => {},
  resolver: { resolve: async () => ["127.0.0.1"] },
  isAllowed: () => true,
});
using call = transport.open(new AbortController().signal, timeouts);
try {
  const request = { headers: {}, body: "{}", streamed: false, timeouts, local: false, proxied: false };
  const answer = await call.send(`https://${name}:${port}/`, request);
  process.stdout.write(await answer.bytes());
} catch (error) {
  process.stdout.write(error instanceof UpstreamError ? `${error.reason}: ${error.cause}` : String(error));
}
process.exit();
