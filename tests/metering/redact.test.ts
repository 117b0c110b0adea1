import { expect, test } from "bun:test";
import { redact } from "../../src/metering/redact.ts";

test("hides who somebody is, and what opens something", () => {
  const cases: [text: string, hidden: string][] = [
    ["write to li.lei+x@mail.example.com now", "write to [email] now"],
    ["call 13812345678 or +86 138 1234 5678", "call [phone] or [phone]"],
    ["from abroad +44 20 7946 0958.", "from abroad [phone]."],
    ["card 4111 1111 1111 1111", "card [card]"],
    ["id 11010519491231002X", "id [id]"],
    ["key sk-abcdefghijklmnopqrstuvwx", "key [key]"],
    ["Authorization: Bearer abcdefghijklmnop.qrst", "Authorization: [key]"],
    ["at 192.168.1.17 today", "at [ip] today"],
  ];
  for (const [text, hidden] of cases) expect(redact(text)).toBe(hidden);
});

test("leaves what only looks like it", () => {
  for (const text of [
    "order 4111111111111112",
    "version 1.2.3",
    "2026-11-24",
    "3.14159265358979",
    "a@b",
    "100%",
  ]) {
    expect(redact(text)).toBe(text);
  }
});

test("keeps texts of any kind in proportion: a megabyte of what almost matches is read once", () => {
  const long = `${"a".repeat(500_000)}@${"1 ".repeat(250_000)}`;
  expect(redact(long).length).toBeLessThanOrEqual(long.length);
});
