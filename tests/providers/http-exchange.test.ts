import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { HttpExchange } from "../../src/providers/http-exchange.ts";

const kibibyte = 1024;
const encoder = new TextEncoder();

/** An exchange whose answer has `length` bytes, its head already here, and what its connection was told. */
function answering(length: number) {
  const told: string[] = [];
  const tell = (what: string) => () => void told.push(what);
  const exchange = new HttpExchange({
    pause: tell("pause"),
    resume: tell("resume"),
    release: tell("release"),
    close: tell("close"),
  });
  exchange.data(encoder.encode(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`));
  return { exchange, told };
}

/** What is held, in bytes: objects, and the buffers of those that have some. */
const held = () => {
  Bun.gc(true);
  return heapStats().heapSize;
};

test("of what came at once only what is unread is held", async () => {
  const before = held();
  const exchanges = [];
  for (let count = 0; count < 32; count++) {
    const { exchange } = answering(512 * kibibyte);
    exchange.data(new Uint8Array(511 * kibibyte));
    for (let read = 0; read < 448 * kibibyte; ) read += (await exchange.read())?.byteLength ?? 0;
    exchanges.push(exchange);
  }
  // 2 MiB are unread; 16 came.
  expect(held() - before).toBeLessThan(4 * 1024 * kibibyte);
  for (const exchange of exchanges) expect((await exchange.read())?.byteLength).toBe(63 * kibibyte);
});

test("of many pieces that came one by one those that were read are let go", async () => {
  const before = held();
  const exchanges = [];
  for (let count = 0; count < 32; count++) {
    const { exchange } = answering(513 * kibibyte);
    for (let came = 0; came < 16; came++) exchange.data(new Uint8Array(32 * kibibyte));
    for (let read = 0; read < 15; read++) await exchange.read();
    exchanges.push(exchange);
  }
  // 1 MiB is unread; 16 came.
  expect(held() - before).toBeLessThan(4 * 1024 * kibibyte);
  for (const exchange of exchanges) expect((await exchange.read())?.byteLength).toBe(32 * kibibyte);
});

test("a large piece comes out as it was, whatever it is cut into", async () => {
  const bytes = new Uint8Array(300 * kibibyte + 7).map((_, at) => at * 31 + (at >> 8));
  const { exchange, told } = answering(bytes.byteLength);
  exchange.data(bytes.slice());
  const pieces: Uint8Array[] = [];
  for (let piece = await exchange.read(); piece; piece = await exchange.read()) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  expect(told).toEqual(["release"]);
});

test.each([64, 100, 128])(
  "a connection that says more than the %d KiB that it promised, all at once, is closed",
  async (promised) => {
    const { exchange, told } = answering(promised * kibibyte);
    exchange.data(new Uint8Array(192 * kibibyte));
    expect(told).toEqual(["close"]);
    let size = 0;
    for (let piece = await exchange.read(); piece; piece = await exchange.read()) size += piece.byteLength;
    expect(size).toBe(promised * kibibyte);
  },
);
