import { expect, test } from "bun:test";
import { appRows } from "../harness/rows.ts";
import { codeOf, listenTo, logIn, startProduction, statuses } from "./kit.ts";

/** A request that must not be carried out. */
const smuggled = (access: string) =>
  `POST /app HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${access}\r\nContent-Length: 0\r\n\r\n`;

/** How two servers could disagree where a body ends; `hidden` is a whole request that must stay a body, or nothing. */
const disagreements = (hidden: string): Record<string, string> => ({
  "CL and TE": `Content-Length: ${hidden.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  "TE and CL": `Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  "TE that is nothing": `Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`,
  "TE identity": `Transfer-Encoding: identity\r\n\r\n${hidden}`,
  "TE chunked, not last": `Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`,
  "TE twice": `Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${hidden}`,
  "TE with a parameter": `Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n${hidden}`,
  "TE in quotes": `Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n${hidden}`,
  "TE with a vertical tab": `Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n${hidden}`,
  "TE with a space before the colon": `Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${hidden}`,
  "TE folded": `Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${hidden}`,
  "TE behind a bare CR": `X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  "TE behind a bare LF": `X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  "a folded header": `X: y\r\n Content-Length: 0\r\n\r\n${hidden}`,
  "two CLs": `Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
  "two CLs, the other way": `Content-Length: ${hidden.length}\r\nContent-Length: 0\r\n\r\n${hidden}`,
  "CL of two": `Content-Length: 0, ${hidden.length}\r\n\r\n${hidden}`,
  "CL signed": `Content-Length: +0\r\n\r\n${hidden}`,
  "CL negative": `Content-Length: -1\r\n\r\n${hidden}`,
  "CL in hex": `Content-Length: 0x0\r\n\r\n${hidden}`,
  "CL with an exponent": `Content-Length: 0e1\r\n\r\n${hidden}`,
  "CL with a space in it": `Content-Length: 0 0\r\n\r\n${hidden}`,
  "CL empty": `Content-Length: \r\n\r\n${hidden}`,
  "CL beyond 64 bits": `Content-Length: 18446744073709551616\r\n\r\n${hidden}`,
  "CL with a NUL": `Content-Length: 0\0\r\n\r\n${hidden}`,
  "chunk size in hex with 0x": `Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n${hidden}`,
  "chunk size negative": `Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n${hidden}`,
  "chunk size beyond 64 bits": `Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n${hidden}`,
  "chunk with more than its size": `Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX\r\n0\r\n\r\n${hidden}`,
  "chunks with bare LFs": `Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n${hidden}`,
  "a chunk's extension with a bare LF": `Transfer-Encoding: chunked\r\n\r\n2;\n{}\r\n0\r\n\r\n${hidden}`,
  "headers with bare LFs": `X: y\nContent-Length: 0\n\n${hidden}`,
});

test("400 is the one answer, the connection is closed, and nothing is written, where a message can be read in two ways", async () => {
  await using app = await startProduction();
  const { access } = await logIn(app);
  await using server = listenTo(app);
  const hidden = smuggled(access);
  for (const [what, rest] of Object.entries(disagreements(hidden))) {
    for (const head of [
      `POST /app/completion HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${access}\r\nContent-Type: application/json\r\n`,
      "GET /ping HTTP/1.1\r\nHost: localhost\r\n",
    ]) {
      const text = await server.send(`${head}${rest}`);
      const closing = /^connection: close\r$/im.test(text);
      expect([what, head.slice(0, 10), statuses(text), closing]).toEqual([
        what,
        head.slice(0, 10),
        [400],
        true,
      ]);
      expect([what, await appRows(app.database.sql)]).toEqual([what, []]);
    }
  }
});

test("a request hidden in a body stays a body: one answer comes, and nothing is written", async () => {
  await using app = await startProduction();
  const { access } = await logIn(app);
  await using server = listenTo(app);
  const hidden = smuggled(access);
  const size = hidden.length.toString(16);
  for (const [what, request] of Object.entries({
    "of a refused call": `POST /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    "of a GET": `GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    "of a HEAD": `HEAD /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    "of an OPTIONS": `OPTIONS /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    "in chunks": `POST /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\n${hidden}\r\n0\r\n\r\n`,
    "in chunks with extensions": `POST /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${size};a="0\\r\\n"\r\n${hidden}\r\n0;b\r\n\r\n`,
    "in chunks of a GET": `GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\n${hidden}\r\n0\r\n\r\n`,
    "in a trailer": `POST /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ${hidden.replaceAll("\r\n", " ")}\r\n\r\n`,
  })) {
    const text = await server.send(request);
    expect([what, statuses(text)]).toEqual([what, [200]]);
    expect([what, await appRows(app.database.sql)]).toEqual([what, []]);
  }
  // A body that is too large to be read to its end is not read on as requests either.
  const long = `${"a".repeat(1_100_000)}${hidden}`;
  const text = await server.send(
    `POST /app HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer ${access}\r\nContent-Type: application/json\r\nContent-Length: ${long.length}\r\n\r\n${long}`,
  );
  expect([statuses(text), codeOf(text)]).toEqual([[200], "VALIDATE_ERROR"]);
  expect(await appRows(app.database.sql)).toEqual([]);
});

test("the same request is carried out where it is not hidden", async () => {
  await using app = await startProduction();
  const { access } = await logIn(app);
  await using server = listenTo(app);
  const line = await server.open();
  line.write(smuggled(access));
  expect(statuses(await line.until((text) => text.includes("}")))).toEqual([200]);
  expect(await appRows(app.database.sql)).toHaveLength(1);
});
