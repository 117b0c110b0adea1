import { describe, expect, test } from "bun:test";
import { UpstreamError } from "../../src/errors/app-error.ts";
import { EventScanner, type Frame } from "../../src/gateway/sse.ts";
import { eventsOf } from "../harness/events.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Reads a text cut at these places; what the frames say, and their bytes together. */
function read(text: string, cuts: readonly number[]) {
  const bytes = encode(text);
  const scanner = new EventScanner();
  const frames: Frame[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    frames.push(...eventsOf(scanner, bytes.slice(from, cut)));
    from = cut;
  }
  const last = scanner.end();
  if (last) frames.push(last);
  return {
    said: frames.map(({ name, data }) => ({ name, data })).filter(({ data }) => data !== undefined),
    raw: decode(Buffer.concat(frames.map(({ raw }) => raw))),
  };
}

const stream =
  'data: {"a":"你好🙂"}\n\n: keep-alive\n\nevent: delta\ndata: one\ndata: two\n\ndata:x\r\n\r\nid: 7\rdata: y\r\rdata: [DONE]\n\n';
const said = [
  { name: undefined, data: '{"a":"你好🙂"}' },
  { name: "delta", data: "one\ntwo" },
  { name: undefined, data: "x" },
  { name: undefined, data: "y" },
  { name: undefined, data: "[DONE]" },
];

describe("events", () => {
  test("are the same wherever the bytes are cut once, and lose none of them", () => {
    const { length } = encode(stream);
    for (let cut = 0; cut <= length; cut++)
      expect([cut, read(stream, [cut])]).toEqual([cut, { said, raw: stream }]);
  });

  test("are the same byte by byte", () => {
    const all = Array.from({ length: encode(stream).length }, (_, index) => index);
    expect(read(stream, all)).toEqual({ said, raw: stream });
  });

  test("that lie within one piece are views of it", () => {
    const piece = encode("data: 1\n\ndata: 2\n\n");
    const frames = eventsOf(new EventScanner(), piece);
    expect(frames.map(({ raw }) => raw.buffer === piece.buffer)).toEqual([true, true]);
  });

  test("have all of their last line end, where it is there: a client may wait for it", () => {
    const events = ["data: 1\r\n\r\n", "event: a\r\ndata: 2\r\n\r\n"];
    const frames = eventsOf(new EventScanner(), encode(events.join("")));
    expect(frames.map(({ raw }) => decode(raw))).toEqual(events);
  });

  test("that are put back come again, before what follows them", () => {
    const scanner = new EventScanner();
    scanner.push(encode(": alive\n\ndata: 1\n\ndata: 2\n\n"));
    const [first, second] = [scanner.next(), scanner.next()];
    scanner.putBack([first as Frame, second as Frame]);
    expect([scanner.next(), scanner.next(), scanner.next()?.data, scanner.next()]).toEqual([
      first,
      second,
      "2",
      undefined,
    ]);
  });

  test("without an end are given at the end, and without a limit never", () => {
    const ended = { said: [{ name: undefined, data: "last" }], raw: "data: last\n\n" };
    expect(read("data: last", [])).toEqual(ended);
    const scanner = new EventScanner(100);
    expect(() => eventsOf(scanner, encode(`data: ${"x".repeat(200)}`))).toThrow(UpstreamError);
  });
});
