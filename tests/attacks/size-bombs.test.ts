import { afterAll, beforeAll, expect, test } from "bun:test";
import type { TestApp } from "../harness/app.ts";
import { appRows } from "../harness/rows.ts";
import {
  codeOf,
  type Line,
  type Listening,
  listenTo,
  logIn,
  type Person,
  startProduction,
  statuses,
} from "./kit.ts";

const mebibyte = 1024 * 1024;
let app: TestApp;
let server: Listening;
let owner: Person;

beforeAll(async () => {
  app = await startProduction();
  owner = await logIn(app);
  server = listenTo(app);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
});

/** The process answers, and has written nothing. */
async function expectAlive(): Promise<void> {
  const response = await fetch(`${server.url}/app`, { headers: owner.bearer });
  expect(await response.json()).toMatchObject({ code: "SUCCESS", data: { items: [] } });
  expect(await appRows(app.database.sql)).toEqual([]);
}

const head = () =>
  `POST /app HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${owner.access}\r\nContent-Type: application/json\r\n`;

test("431 is answered, and the connection closed, to headers and addresses beyond all measure", async () => {
  for (const [what, bytes] of Object.entries({
    "a header of 100 kB": `GET /ping HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(100_000)}\r\n\r\n`,
    "a name of 100 kB": `GET /ping HTTP/1.1\r\nHost: localhost\r\n${"a".repeat(100_000)}: x\r\n\r\n`,
    "10,000 headers": `GET /ping HTTP/1.1\r\nHost: localhost\r\n${Array.from({ length: 10_000 }, (_, i) => `a${i}: b\r\n`).join("")}\r\n`,
    "a cookie of 1 MB": `GET /ping HTTP/1.1\r\nHost: localhost\r\nCookie: ${"a=b; ".repeat(200_000)}\r\n\r\n`,
    "5,000 cookies": `GET /ping HTTP/1.1\r\nHost: localhost\r\n${"Cookie: a=b\r\n".repeat(5000)}\r\n`,
    "a bearer token of 1 MB": `GET /app HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${"a".repeat(mebibyte)}\r\n\r\n`,
    "an address of 1 MB": `GET /ping?${"a".repeat(mebibyte)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    "a path of 1 MB": `GET ${"/a".repeat(mebibyte / 2)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    "a Host of 1 MB": `GET /ping HTTP/1.1\r\nHost: ${"a".repeat(mebibyte)}\r\n\r\n`,
  })) {
    const text = await server.send(bytes);
    expect([what, statuses(text)]).toEqual([what, [431]]);
  }
  await expectAlive();
}, 60_000);

test("what just fits is answered like anything else", async () => {
  const send = async (rest: string) => codeOf(await server.send(`${rest}Connection: close\r\n\r\n`));
  const host = "HTTP/1.1\r\nHost: localhost\r\n";
  expect(await send(`GET /app ${host}Cookie: ${"a=b; ".repeat(2400)}x=y\r\n`)).toBe("UNAUTHORIZED");
  expect(await send(`GET /app ${host}Cookie: ${"llmops_access=; ".repeat(700)}\r\n`)).toBe("UNAUTHORIZED");
  expect(await send(`GET ${"/a".repeat(6000)} ${host}`)).toBe("UNAUTHORIZED");
  expect(await send(`GET /app${"/x".repeat(6000)} ${host}Authorization: Bearer ${owner.access}\r\n`)).toBe(
    "NOT_FOUND",
  );
  expect(
    await send(`GET /app?${"search=&".repeat(1500)} ${host}Authorization: Bearer ${owner.access}\r\n`),
  ).toBe("VALIDATE_ERROR");
});

test("413 is answered before a byte of a body of more than 64 MiB was sent", async () => {
  for (const length of [64 * mebibyte + 1, 1024 * mebibyte, 9_007_199_254_740_991]) {
    const text = await server.send(`${head()}Content-Length: ${length}\r\n\r\n`);
    expect([length, statuses(text)]).toEqual([length, [413]]);
  }
  await expectAlive();
});

/** Writes pieces until the server has answered or closed, or `most` bytes are sent; returns how many were. */
async function pour(line: Line, piece: Uint8Array, most: number): Promise<number> {
  let sent = 0;
  let answered = false;
  void line
    .until((text) => text.includes("HTTP/1.1"))
    .then(() => {
      answered = true;
    });
  while (!answered && sent < most) {
    sent += piece.length;
    await Promise.race([
      new Promise<void>((resolve) => line.socket.write(piece, () => resolve())),
      line.closed,
    ]);
  }
  return sent;
}

test("VALIDATE_ERROR is answered to an endless body after a few MiB of it, and memory does not grow with it", async () => {
  const before = process.memoryUsage.rss();
  const piece = Buffer.alloc(65_536, " ");
  const chunk = Buffer.concat([Buffer.from("10000\r\n"), piece, Buffer.from("\r\n")]);
  for (const [framing, bytes] of [
    ["Transfer-Encoding: chunked", chunk],
    ["Content-Length: 67108864", piece],
  ] as const) {
    for (let times = 0; times < 5; times++) {
      const line = await server.open();
      line.write(`${head()}${framing}\r\n\r\n`);
      const sent = await pour(line, bytes, 128 * mebibyte);
      const text = await line.until((each) => each.includes("}"));
      expect([framing, codeOf(text), sent < 32 * mebibyte]).toEqual([framing, "VALIDATE_ERROR", true]);
      line.socket.destroy();
    }
  }
  expect(process.memoryUsage.rss() - before).toBeLessThan(256 * mebibyte);
  await expectAlive();
}, 60_000);

test("UNAUTHORIZED is answered to a stranger's endless body, of which nothing is read", async () => {
  const line = await server.open();
  line.write(
    "POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  expect(codeOf(await line.until((text) => text.includes("}")))).toBe("UNAUTHORIZED");
});

test("VALIDATE_ERROR is answered to deep JSON, to wide JSON and to what is compressed, at once", async () => {
  const gzip = Bun.gzipSync(Buffer.alloc(60 * mebibyte));
  for (const [what, body, headers] of [
    ["deep lists", "[".repeat(500_000), ""],
    ["deep objects", '{"a":'.repeat(150_000), ""],
    ["closed again", `{"config":${"[".repeat(400_000)}${"]".repeat(400_000)}}`, ""],
    ["many fields", `{${Array.from({ length: 50_000 }, (_, i) => `"f${i}":1`).join(",")}}`, ""],
    ["one field many times", `{${'"x":1,'.repeat(100_000)}"x":1}`, ""],
    ["a long number", `{"name":${"9".repeat(500_000)}}`, ""],
    ["many escapes", `{"name":"${"\\u0041".repeat(150_000)}"}`, ""],
    ["a gzip bomb", gzip, "Content-Encoding: gzip\r\n"],
    ["a gzip bomb that says nothing", gzip, ""],
  ] as [string, string | Uint8Array, string][]) {
    const bytes = Buffer.from(body as string);
    const line = await server.open();
    line.write(`${head()}${headers}Connection: close\r\nContent-Length: ${bytes.length}\r\n\r\n`);
    line.write(bytes);
    expect([what, codeOf(await line.closed)]).toEqual([what, "VALIDATE_ERROR"]);
  }
  await expectAlive();
}, 60_000);
