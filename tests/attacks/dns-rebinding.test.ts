import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";
import { appRows } from "../harness/rows.ts";
import { codeOf, listenTo } from "./kit.ts";

const foreign = [
  "evil.example",
  "evil.example:5000",
  "localhost.evil.example",
  "evil.example.localhost",
  "127.0.0.1.evil.example",
  "127.0.0.1.nip.io",
  "localhost@evil.example",
  "evil.example@localhost",
  "evil.example#localhost",
  "evil.example/localhost",
  "evil.example?localhost",
  "localhost, evil.example",
  "evil.example, localhost",
  "localhost evil.example",
  "localhost\\evil.example",
  "localhost.",
  "localhost:5000:5000",
  "localhost:",
  "0.0.0.0:5000",
  "0:5000",
  "[::]",
  "[::ffff:127.0.0.1]",
  "[::1].evil.example",
  "192.168.0.1",
  "128.0.0.1",
  "127.0.0.1.",
  "127.1",
  "2130706433",
  "0x7f000001",
  "017700000001",
  "%6cocalhost",
  "ｌocalhost",
  "*",
];

test("FORBIDDEN is answered to every Host that is not this machine's, over a real connection", async () => {
  await using app = await startTestApp();
  await using server = listenTo(app);
  for (const host of foreign) {
    for (const request of [
      "GET /app",
      "POST /app",
      "GET http://localhost/app",
      "GET /ping",
      "GET /nowhere",
    ]) {
      const text = await server.send(
        `${request} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      );
      expect([host, request, codeOf(text)]).toEqual([host, request, "FORBIDDEN"]);
    }
  }
  expect(await appRows(app.database.sql)).toEqual([]);
});

test("FORBIDDEN is answered to two Hosts, or to none", async () => {
  await using app = await startTestApp();
  await using server = listenTo(app);
  for (const head of [
    "POST /app HTTP/1.1\r\nHost: localhost\r\nHost: evil.example",
    "POST /app HTTP/1.1\r\nHost: evil.example\r\nHost: localhost",
    "POST /app HTTP/1.1\r\nHost:",
    "POST http://evil.example/app HTTP/1.1\r\nHost: evil.example",
  ]) {
    const text = await server.send(`${head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    expect([head, codeOf(text)]).toEqual([head, "FORBIDDEN"]);
  }
  expect(await appRows(app.database.sql)).toEqual([]);
});

test("FORBIDDEN is answered to a page of another origin on this machine's own name", async () => {
  await using app = await startTestApp();
  await using server = listenTo(app);
  const host = `127.0.0.1:${server.port}`;
  for (const origin of [
    "http://evil.example",
    "null",
    "https://127.0.0.1",
    `https://${host}`,
    `http://localhost:${server.port}`,
    `http://${host}.evil.example`,
    "http://127.0.0.1:1",
    `${host}`,
    "",
    "file://",
    "chrome-extension://abcdefghijklmnop",
  ]) {
    const text = await server.send(
      `POST /app HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    expect([origin, codeOf(text)]).toEqual([origin, "FORBIDDEN"]);
  }
  expect(await appRows(app.database.sql)).toEqual([]);
  const text = await server.send(
    `POST /app HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://${host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
  );
  expect(codeOf(text)).toBe("SUCCESS");
});
