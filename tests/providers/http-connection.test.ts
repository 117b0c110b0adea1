import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UpstreamError } from "../../src/errors/app-error.ts";
import { createTransport, type Outgoing } from "../../src/providers/transport.ts";
import { until } from "../harness/people.ts";
import { type RawConnection, type RawServer, startRawServer, writePieces } from "../harness/raw-server.ts";

const timeouts = { connectMs: 20_000, firstByteMs: 20_000, idleMs: 20_000, totalMs: 40_000 };
const outgoing: Outgoing = {
  headers: { authorization: "Bearer k" },
  body: '{"text":"wörld 你好"}',
  streamed: false,
  timeouts,
  local: true,
  proxied: false,
};

/** A transport whose tries of the way are not counted as connections. */
const transportOf = () => createTransport({ connect: async () => {} });

const client = (server: RawServer, transport = transportOf()) => {
  const call = transport.open(new AbortController().signal, timeouts);
  const url = `http://127.0.0.1:${server.port}/v1/chat?x=1`;
  return {
    call,
    send: (more: Partial<Outgoing> = {}) => call.send(url, { ...outgoing, ...more }),
    [Symbol.dispose]() {
      call[Symbol.dispose]();
      transport[Symbol.dispose]();
    },
  };
};

const text = async (answer: { bytes(): Uint8Array | Promise<Uint8Array> }) =>
  new TextDecoder().decode(await answer.bytes());
const reasonOf = (failing: Promise<unknown>) =>
  failing.then(
    () => "it went well",
    (error: unknown) => (error instanceof UpstreamError ? error.reason : String(error)),
  );
const good = 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}';
const says =
  (...pieces: string[]) =>
  ({ socket }: RawConnection) =>
    writePieces(socket, pieces);

test("a request is one head with its host and its length, and its body as UTF-8", async () => {
  await using server = await startRawServer(says(good));
  using it = client(server);
  expect(await text(await it.send())).toBe('{"a":1}');
  const [head, body] = (server.connections[0]?.received ?? "").split("\r\n\r\n");
  expect(head?.split("\r\n")).toEqual([
    "POST /v1/chat?x=1 HTTP/1.1",
    `host: 127.0.0.1:${server.port}`,
    "accept-encoding: identity",
    "authorization: Bearer k",
    `content-length: ${Buffer.byteLength(outgoing.body ?? "")}`,
  ]);
  expect(Buffer.from(body ?? "", "latin1").toString()).toBe(outgoing.body ?? "");
});

test("a header that would end its line is not sent", async () => {
  await using server = await startRawServer(says(good));
  using it = client(server);
  expect(await reasonOf(it.send({ headers: { a: "b\r\nc: d" } }))).toBe("unreachable");
  expect(server.connections.map(({ received }) => received)).toEqual([]);
});

test("an answer that comes byte by byte is the same, after as many interim ones as there are", async () => {
  const interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  const chunked =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\nX: y\r\n\r\n';
  await using server = await startRawServer(says(...interim, ...chunked));
  using it = client(server);
  expect(await text(await it.send())).toBe('{"a":1}');
  expect(await text(await it.send())).toBe('{"a":1}');
  expect(server.connections).toHaveLength(1);
});

test("a body without a length ends with its connection", async () => {
  await using server = await startRawServer(({ socket }) => socket.end('HTTP/1.1 200 OK\r\n\r\n{"a":1}'));
  using it = client(server);
  expect(await text(await it.send())).toBe('{"a":1}');
});

test("a connection serves one request after the other", async () => {
  await using server = await startRawServer(says(good));
  using it = client(server);
  for (let count = 0; count < 5; count++) expect(await text(await it.send())).toBe('{"a":1}');
  expect(server.connections).toHaveLength(1);
});

test.each([
  ["says that it closes", 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{"a":1}'],
  ["says more than it promised", `${good}HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"b":2}`],
  ["speaks HTTP/1.0", 'HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'],
  [
    "gives two lengths of two kinds",
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n7\r\n{"a":1}\r\n0\r\n\r\n',
  ],
])("a connection that %s serves no second request", async (_, answer) => {
  await using server = await startRawServer(says(answer));
  using it = client(server);
  expect(await text(await it.send())).toBe('{"a":1}');
  expect(await text(await it.send())).toBe('{"a":1}');
  expect(server.connections).toHaveLength(2);
});

test("a connection that speaks unasked, or closes, while it is idle is not used again", async () => {
  for (const leave of [says("HTTP/1.1 200 OK\r\n"), ({ socket }: RawConnection) => socket.end()]) {
    await using server = await startRawServer(says(good));
    using it = client(server);
    expect(await text(await it.send())).toBe('{"a":1}');
    const [first] = server.connections as [RawConnection];
    void leave(first);
    await first.closed;
    expect(await text(await it.send())).toBe('{"a":1}');
    expect(server.connections).toHaveLength(2);
  }
});

test("a connection whose close has come, but was not heard of yet, is not used again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "llmops-http-"));
  const closed = join(folder, "closed");
  const script = join(import.meta.dir, "../harness/closing-child.ts");
  const child = Bun.spawn([process.execPath, script, closed], { stdin: "pipe", stdout: "pipe" });
  const port = Number(new TextDecoder().decode((await child.stdout.getReader().read()).value));
  using transport = transportOf();
  using call = transport.open(new AbortController().signal, timeouts);
  const send = () => call.send(`http://127.0.0.1:${port}/`, outgoing);
  expect(await text(await send())).toBe('{"a":1}');
  // Nothing else runs here until the other side has closed; it rests for longer than a busy one ever does.
  const from = performance.now();
  while (!existsSync(closed) || performance.now() - from < 200) {
    if (performance.now() - from > 10_000) throw new Error("the other side has not closed");
  }
  expect(await text(await send())).toBe('{"a":1}');
  child.kill();
  rmSync(folder, { recursive: true });
});

test("a request that was sent is not sent again where its connection breaks", async () => {
  await using server = await startRawServer(({ socket }, request) => {
    if (request === 0) socket.write(good);
    else socket.destroy();
  });
  using it = client(server);
  expect(await text(await it.send())).toBe('{"a":1}');
  expect(await reasonOf(it.send())).toBe("unreachable");
  expect(server.connections).toHaveLength(1);
});

test("a body shorter than its length, and one without its last chunk, is cut", async () => {
  for (const answer of [
    'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a":1}',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n',
  ]) {
    await using server = await startRawServer(({ socket }) => socket.end(answer));
    using it = client(server);
    expect(await reasonOf(it.send().then(text))).toBe("cut");
  }
});

test.each([
  ["garbage", "\x16\x03\x01 what is this\r\n\r\n"],
  ["a head without an end", `HTTP/1.1 200 OK\r\nA: ${"x".repeat(100_000)}`],
  ["another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
])("%s is malformed, and ends the connection", async (_, answer) => {
  await using server = await startRawServer(says(answer));
  using it = client(server);
  expect(await reasonOf(it.send())).toBe("malformed");
  await server.connections[0]?.closed;
});

test("whoever gives a call up closes its connection, whether its answer has begun or not", async () => {
  for (const answer of [says(), says('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a":1}')]) {
    await using server = await startRawServer(answer);
    using transport = transportOf();
    const caller = new AbortController();
    using call = transport.open(caller.signal, timeouts);
    const asked = call.send(`http://127.0.0.1:${server.port}/`, outgoing).then(text);
    await until(async () => server.connections[0]?.received.includes("{") === true);
    caller.abort(new Error("left"));
    expect(await reasonOf(asked)).toBe("Error: left");
    await server.connections[0]?.closed;
  }
});

test("a silent upstream meets the limits, which close its connection", async () => {
  const short = { ...timeouts, firstByteMs: 50, idleMs: 50 };
  for (const [answer, streamed, reason] of [
    [says(), true, "timeout_first_byte"],
    [says("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"), true, "timeout_first_byte"],
    [says("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"), false, "timeout_idle"],
  ] as const) {
    await using server = await startRawServer(answer);
    using it = client(server);
    expect(await reasonOf(it.send({ streamed, timeouts: short }).then((answered) => answered.bytes()))).toBe(
      reason,
    );
    await server.connections[0]?.closed;
  }
});

test("an answer that nobody reads holds its upstream back, and goes on when it is read", async () => {
  const piece = Buffer.alloc(64 * 1024, "x");
  const all = 64 * 1024 * 1024;
  let taken = 0;
  await using server = await startRawServer(({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${all}\r\n\r\n`);
    const more = () => {
      while (taken < all) {
        taken += piece.length;
        if (!socket.write(piece)) return socket.once("drain", more);
      }
    };
    more();
  });
  using it = client(server);
  const answer = await it.send({ streamed: true });
  let read = (await answer.read())?.byteLength ?? 0;
  // The system's own buffers take some; then nothing moves any more, however much else goes on.
  await using other = await startRawServer(says(good));
  using meanwhile = client(other);
  for (let calls = 0; calls < 200; calls++) await text(await meanwhile.send());
  expect(taken).toBeLessThan(all / 2);
  for (let next = await answer.read(); next; next = await answer.read()) read += next.byteLength;
  expect(read).toBe(all);
});

test("a large request goes out whole, though the upstream reads slowly", async () => {
  await using server = await startRawServer(says(good));
  using it = client(server);
  const body = JSON.stringify({ text: "wörld".repeat(2_000_000) });
  expect(await text(await it.send({ body }))).toBe('{"a":1}');
  expect(server.connections[0]?.received.length).toBeGreaterThan(Buffer.byteLength(body));
});
