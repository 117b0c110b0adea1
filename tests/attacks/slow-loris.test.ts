import { expect, test } from "bun:test";
import { addPerson, as, listenTo, logIn, startProduction, statuses } from "./kit.ts";

/** Requests that are never finished, in the header or in the body, of a stranger. */
const halves = [
  "",
  "G",
  "GET /app HTTP/1.1\r\n",
  "GET /app HTTP/1.1\r\nHost: localhost\r\nX: ",
  "GET /app HTTP/1.1\r\nHost: localhost\r\n",
  "POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
  'POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"email":"',
  "POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
  "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /app HTTP/1.1\r\nX: ",
  "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
];

test("200 half-sent requests are closed within 60 s, also those that send a byte now and then, and others are answered meanwhile", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  // The server looks every 4 s, whenever that began: less than that may be over at once.
  await using server = listenTo(app, { idleTimeoutSeconds: 6 });
  const lines = await Promise.all(Array.from({ length: 200 }, () => server.open()));
  const started = performance.now();
  for (const [i, line] of lines.entries()) line.write(halves[i % halves.length] ?? "");
  // Half of them go on, a byte at a time, which is no progress either.
  const drip = setInterval(() => {
    for (const [i, line] of lines.entries()) if (i % 20 >= 11 && i % 20 <= 18) line.write("x");
  }, 500);
  let open = lines.length;
  for (const { closed } of lines) void closed.then(() => open--);
  expect(open).toBe(200);
  expect((await as(app, owner)("POST", "/app")).code).toBe("SUCCESS");
  for (const path of ["/healthz", "/readyz", "/ping"]) {
    expect([path, (await fetch(`${server.url}${path}`)).status]).toEqual([path, 200]);
  }
  expect((await fetch(`${server.url}/app`, { headers: owner.bearer })).headers.get("x-llmops-code")).toBe(
    "SUCCESS",
  );
  expect((await addPerson(app, owner, "viewer")).email).toBe("viewer@example.com");
  expect(open).toBe(200);

  const texts = await Promise.all(lines.map(({ closed }) => closed));
  clearInterval(drip);
  expect(performance.now() - started).toBeLessThan(60_000);
  // Whatever was half-sent was not carried out; only whole requests were answered.
  for (const [i, text] of texts.entries()) {
    expect([halves[i % halves.length], statuses(text).includes(200)]).toEqual([
      halves[i % halves.length],
      i % halves.length >= 8,
    ]);
  }
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
}, 60_000);

test("30 s of silence are what a server takes that was told nothing else", async () => {
  const seen: unknown[] = [];
  const { serve } = Bun;
  const original: typeof Bun.serve = serve;
  Bun.serve = ((options: { idleTimeout?: number }) => {
    seen.push(options.idleTimeout);
    return original(options as Parameters<typeof Bun.serve>[0]);
  }) as typeof Bun.serve;
  try {
    await using server = listenTo({ fetch: async () => new Response() });
    expect((await fetch(server.url)).status).toBe(200);
  } finally {
    Bun.serve = original;
  }
  expect(seen).toEqual([30]);
});
