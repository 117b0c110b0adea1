import { expect, test } from "bun:test";
import { createLog, type LogOptions } from "../../src/log.ts";
import { toRequest } from "../harness/app.ts";
import { listenTo, logIn, startAgain, startProduction } from "./kit.ts";

/** A line end, an order to a terminal, and the end of a JSON text, in every way to write one. */
const forgeries = [
  '\n{"time":"x","level":"info","message":"forged"}',
  "\r\n\x1b[90m00:00:00\x1b[0m \x1b[36minfo \x1b[0m forged",
  '"}\n{"message":"forged',
  "\u2028forged\u2029forged\u0085forged\u000bforged\u000cforged",
  "\x1b[2K\x1b[1A\x1b]0;forged\x07\x1b[8m",
  "\u009b2K\u009d0;forged\u009c\u007f\b\b\b",
  "\u202edegrof\u202c\u2066\u2069\u200f",
  "\0forged",
];

/** The colours that a pretty line has of its own. */
const esc = "\x1b";
const colours = new RegExp(`${esc}\\[(?:0|3[136]|90)m`, "g");
const orders = /[^\x20-\x7e\u00a0-\u{10ffff}]|[\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

/** What a log wrote for some events. */
function record(format: LogOptions["format"], events: (log: ReturnType<typeof createLog>) => void): string {
  let text = "";
  events(createLog({ level: "debug", format, write: (lines) => (text += lines) }));
  return text;
}

test("one line is written for each event in json, whatever stands in its fields and its error", () => {
  for (const text of forgeries) {
    const lines = record("json", (log) => {
      log.info("request", { path: text, [text]: text });
      log.error("request failed", { path: text }, new Error(text, { cause: new Error(text) }));
    }).split("\n");
    expect([text, lines.length, lines.at(-1)]).toEqual([text, 3, ""]);
    const [one, two] = lines.slice(0, 2).map((line) => JSON.parse(line));
    expect([one.path, two.path, one.message, two.message]).toEqual([text, text, "request", "request failed"]);
    for (const line of lines) expect([text, orders.test(line)]).toEqual([text, false]);
  }
});

test("one line is written for each event in pretty; below it is at most an indented stack, in which nothing is an order", () => {
  for (const text of forgeries) {
    const error = new Error(text, { cause: new Error(text) });
    error.stack = `Error: ${text}\n    at place (${text})\n${text}`;
    const written = record("pretty", (log) => {
      log.info("request", { path: text });
      log.error("request failed", { path: text }, error);
      log.warn("request failed", { cause: text });
    });
    const lines = written.split("\n").filter((line) => line !== "");
    expect([text, lines.filter((line) => !line.startsWith("    ")).length]).toEqual([text, 3]);
    for (const line of written.replaceAll(colours, "").split("\n")) {
      expect([text, line, orders.test(line)]).toEqual([text, line, false]);
    }
    // The colours are the log's own: so many for each event, and none from outside.
    expect(written.split(esc).length - 1).toBe(3 * 6);
  }
});

test("one line is written for each request, whatever its path, user agent, e-mail or name says", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  for (const format of ["json", "pretty"] as const) {
    let written = "";
    const log = createLog({ level: "info", format, write: (lines) => (written += lines) });
    await using again = await startAgain(app.database.url, { log });
    await using server = listenTo(again.app);
    const ask = async (method: string, path: string, headers: Record<string, string>, body?: unknown) => {
      written = "";
      const response = await again.app.fetch(toRequest(method, path, { headers, body }));
      await response.text();
      expect([method, path, written.split("\n").length]).toEqual([method, path, 2]);
      expect(written.replaceAll(colours, "").replaceAll("\n", "")).not.toMatch(orders);
    };
    for (const text of forgeries) {
      await ask("GET", `/${encodeURIComponent(text)}`, {});
      await ask("GET", `/ping?${encodeURIComponent(text)}`, {});
      await ask("POST", "/auth/login", {}, { email: `${text}@example.com`, password: text });
      await ask("POST", "/app", owner.bearer, { name: text, description: text });
      const header = Buffer.from(text)
        .toString("latin1")
        .replaceAll(/[\r\n\0]/g, "");
      await ask("GET", "/app", { ...owner.bearer, "user-agent": header, "x-forwarded-for": header });
      await ask("GET", "/v1/models", { authorization: `Bearer ${header}` });
    }
    // The same as bytes, past what a client would let through.
    for (const text of forgeries) {
      written = "";
      const bytes = Buffer.from(text.replaceAll(/[\r\n\0 ]/g, ""));
      const line = await server.open();
      line.write(
        Buffer.concat([Buffer.from("GET /"), bytes, Buffer.from(` HTTP/1.1\r\nHost: x\r\nUser-Agent: `)]),
      );
      line.write(Buffer.concat([bytes, Buffer.from("\r\nConnection: close\r\n\r\n")]));
      await line.closed;
      // The server itself refuses some of it, and then there is no event.
      expect([text, written.split("\n").length <= 2]).toEqual([text, true]);
      expect(written.replaceAll(colours, "").replaceAll("\n", "")).not.toMatch(orders);
    }
  }
});

test("the user agent and e-mail of a login stay one value in what is stored of them", async () => {
  await using app = await startProduction();
  const userAgent = Buffer.from('x\u009b2K"}\u2028forged').toString("latin1");
  const owner = await logIn(app, {}, { "user-agent": userAgent });
  const { data } = await app.call("GET", "/auth/session", { headers: owner.bearer });
  expect((data.items as { user_agent: string }[]).map((each) => each.user_agent)).toEqual([userAgent]);
  expect(app.logged()).not.toContain("forged");
});
