import { expect, test } from "bun:test";
import { UpstreamError } from "../../src/errors/app-error.ts";
import { createBodyScanner } from "../../src/providers/http-body.ts";
import { type Framing, parseHead } from "../../src/providers/http-head.ts";

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

/** What a scanner makes of these pieces: the body, and what follows it; `undefined` where it does not end. */
const scan = (framing: Framing, pieces: readonly string[]) => {
  const scanner = createBodyScanner(framing);
  let body = "";
  let after: number | undefined;
  for (const piece of pieces) {
    after = scanner.push(bytesOf(piece), {
      take(part) {
        body += Buffer.from(part).toString("latin1");
      },
    });
  }
  return { body, after };
};

const reasonOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return error instanceof UpstreamError ? error.reason : String(error);
  }
  return "nothing was thrown";
};

const chunked =
  'b;name="x"\r\nHello, wörld\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n000\r\nX-Trailer: 1\r\nX-More: 2\r\n\r\n'
    .replace("b;", "c;")
    .concat("HTTP");

test("a chunked body is the same wherever its bytes are cut", () => {
  const expected = { body: "Hello, wörldabcdefghijklmnopqrstuvwxyz", after: 4 };
  expect(scan({ kind: "chunked" }, [chunked])).toEqual(expected);
  for (let cut = 1; cut < chunked.length - 4; cut++) {
    expect(scan({ kind: "chunked" }, [chunked.slice(0, cut), chunked.slice(cut)])).toEqual(expected);
  }
  expect(scan({ kind: "chunked" }, [...chunked.slice(0, -4)])).toEqual({ ...expected, after: 0 });
});

test("chunks that came together are one piece, and what came before a malformed one is not lost", () => {
  const pieces: string[] = [];
  const sink = { take: (piece: Uint8Array) => void pieces.push(Buffer.from(piece).toString("latin1")) };
  const scanner = createBodyScanner({ kind: "chunked" });
  scanner.push(bytesOf("3\r\nabc\r\n2\r\nde\r\n4\r\nfg"), sink);
  expect(() => scanner.push(bytesOf("hi\r\n1\r\nj\r\nno number\r\n"), sink)).toThrow(UpstreamError);
  expect(pieces).toEqual(["abcdefg", "hij"]);
});

test.each([
  ["no number", "x\r\n"],
  ["nothing", "\r\n"],
  ["negative", "-1\r\n"],
  ["signed", "+1\r\n"],
  ["spelt as a language's", "0x1\r\na\r\n0\r\n\r\n"],
  ["larger than can be", "fffffffffffffff\r\n"],
  ["without the carriage return", "1\na\r\n0\r\n\r\n"],
  ["smaller than its chunk", "1\r\nab\r\n0\r\n\r\n"],
  ["followed by extensions without an end", `1;${"x".repeat(5000)}`],
])("a chunk's size that is %s is malformed", (_, text) => {
  expect(reasonOf(() => scan({ kind: "chunked" }, [text]))).toBe("malformed");
});

test("trailers without an end are malformed", () => {
  expect(
    reasonOf(() => scan({ kind: "chunked" }, ["0\r\n", ..."X: 1\r\n".repeat(1000).split(/(?<=\n)/)])),
  ).toBe("malformed");
});

test("a counted body ends where it says, and one of nothing at once", () => {
  expect(scan({ kind: "length", bytes: 3 }, ["ab", "cdef"])).toEqual({ body: "abc", after: 3 });
  expect(scan({ kind: "length", bytes: 0 }, [""])).toEqual({ body: "", after: 0 });
  expect(scan({ kind: "close" }, ["ab", "cd"])).toEqual({ body: "abcd", after: undefined });
});

const headOf = (...fields: string[]) => parseHead(["HTTP/1.1 200 OK", ...fields].join("\r\n"));

test("a head tells its framing, and whether the connection goes on", () => {
  expect(headOf("Content-Length: 7")).toMatchObject({
    framing: { kind: "length", bytes: 7 },
    reusable: true,
  });
  expect(headOf("content-length:7", "Content-Length: 7")).toMatchObject({ length: 7, reusable: true });
  expect(headOf("Transfer-Encoding: Chunked")).toMatchObject({
    framing: { kind: "chunked" },
    reusable: true,
  });
  // Both: the one way to read it, and no second request after it.
  expect(headOf("Transfer-Encoding: chunked", "Content-Length: 7")).toMatchObject({
    framing: { kind: "chunked" },
    reusable: false,
  });
  expect(headOf("Content-Length: 7", "Connection: Close")).toMatchObject({ reusable: false });
  expect(headOf("Content-Length: 7", "Keep-Alive: timeout=5, max=10")).toMatchObject({ idleMs: 5000 });
  expect(headOf()).toMatchObject({ framing: { kind: "close" }, reusable: false });
  expect(parseHead("HTTP/1.0 200 OK\r\nContent-Length: 7")).toMatchObject({ reusable: false });
  expect(parseHead("HTTP/1.1 204 No Content")).toMatchObject({ framing: { kind: "length", bytes: 0 } });
  expect(parseHead("HTTP/1.1 429 \r\nRetry-After: 3").headers.get("retry-after")).toBe("3");
});

test("a head has its fields as they came, without what surrounds their values", () => {
  const { headers } = headOf("A:b", "c: d: e \t", "Set-Cookie: x", "set-cookie: y", "Empty:", "L: \xe9\xa0");
  expect([...headers]).toEqual([
    ["a", "b"],
    ["c", "d: e"],
    ["empty", ""],
    ["l", "\xe9"],
    ["set-cookie", "x"],
    ["set-cookie", "y"],
  ]);
});

test.each([
  ["HTTP/2", "HTTP/2 200 OK"],
  ["no version", "200 OK"],
  ["a status beyond", "HTTP/1.1 999 Odd"],
  ["a status of two digits", "HTTP/1.1 20 OK"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2"],
  ["a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1"],
  ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1"],
  ["a length in hexadecimal", "HTTP/1.1 200 OK\r\nContent-Length: 0x10"],
  ["another transfer encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked"],
  ["chunks within chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked"],
  ["a body that is compressed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1"],
  ["a line that is folded", "HTTP/1.1 200 OK\r\nA: b\r\n c: d"],
  ["space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 1"],
  ["a field without a name", "HTTP/1.1 200 OK\r\n: b"],
  ["a line of nothing", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"],
  ["the colon of the next line", "HTTP/1.1 200 OK\r\nA\r\nB: c"],
  ["a control character at a value's end", "HTTP/1.1 200 OK\r\nA: b\x01"],
  ["no colon", "HTTP/1.1 200 OK\r\nContent-Length"],
  ["a bare line feed", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 1"],
  ["a NUL", "HTTP/1.1 200 OK\r\nA: b\0c"],
  ["more fields than anybody sends", `HTTP/1.1 200 OK${"\r\nA: b".repeat(300)}`],
])("a head with %s is malformed", (_, text) => {
  expect(reasonOf(() => parseHead(text))).toBe("malformed");
});
