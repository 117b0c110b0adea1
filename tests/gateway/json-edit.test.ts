import { expect, test } from "bun:test";
import { editJson, memberText, raw } from "../../src/gateway/json-edit.ts";

const text =
  '{ "model" : "a\\"b,}", "x": 1e400, "m\\u006fdel": 3, "big":12345678901234567890 , "n":[1,{"a":"]}"}], "t":true}';

test("sets a member and leaves every other byte as it was", () => {
  expect(editJson(text, { set: { model: "z", add: 1 } })).toBe(
    '{ "model" : "z", "x": 1e400, "m\\u006fdel": "z", "big":12345678901234567890 , "n":[1,{"a":"]}"}], "t":true,"add":1}',
  );
});

test("sets a member that stands first, twice or spelt in two ways as well", () => {
  const set = { model: "z" };
  expect(editJson(' { "model" : "a\\"}" , "n":1}', { set })).toBe(' { "model" : "z" , "n":1}');
  expect(editJson('{"model":{"a":[1]},"n":1}', { set })).toBe('{"model":"z","n":1}');
  expect(editJson('{"model":"a","n":1,"model":"b"}', { set })).toBe('{"model":"z","n":1,"model":"z"}');
  expect(editJson('{"model":"a","mod\\u0065l":"b"}', { set })).toBe('{"model":"z","mod\\u0065l":"z"}');
  expect(editJson('{"models":"a"}', { set })).toBe('{"models":"a","model":"z"}');
  expect(editJson('{"n":{"model":"a"}}', { set })).toBe('{"n":{"model":"a"},"model":"z"}');
  expect(editJson("{}", { set })).toBe('{"model":"z"}');
});

test("removes members, first and last ones too", () => {
  expect(editJson(text, { remove: ["model", "t"] })).toBe(
    '{ "x": 1e400, "big":12345678901234567890 , "n":[1,{"a":"]}"}]}',
  );
  expect(editJson('{"a":1}', { remove: ["a"] })).toBe("{}");
  expect(editJson('{"a":1}', { remove: ["a"], set: { b: 2 } })).toBe('{"b":2}');
  expect(editJson(" {\n} ", { set: { b: raw("[ 1 ]") } })).toBe(' {"b":[ 1 ]\n} ');
});

test("reads a member's own text, the last of two", () => {
  expect(memberText(text, "n")).toBe('[1,{"a":"]}"}]');
  expect(memberText(text, "model")).toBe("3");
  expect(memberText(text, "none")).toBeUndefined();
});

test("means what parsing, changing and writing anew means", () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed % below;
  };
  const value = (depth: number): unknown => {
    const kind = random(depth > 3 ? 4 : 6);
    if (kind === 0) return random(1000);
    if (kind === 1) return ["", 'a"b', "\\", "{[,]}", "你\n好", "\u2028"][random(6)];
    if (kind === 2) return [true, false, null][random(3)];
    if (kind === 3) return -random(100) / 8;
    if (kind === 4) return Array.from({ length: random(4) }, () => value(depth + 1));
    return Object.fromEntries(
      Array.from({ length: random(5) }, () => [`k${random(6)}"\\`, value(depth + 1)]),
    );
  };
  for (let round = 0; round < 500; round++) {
    const object = Object.fromEntries(Array.from({ length: random(6) }, () => [`k${random(6)}`, value(0)]));
    const written = JSON.stringify(object, null, random(2) * 2);
    const set = { [`k${random(6)}`]: value(0) };
    const remove = [`k${random(6)}`].filter((key) => !(key in set));
    const expected: Record<string, unknown> = { ...object, ...set };
    for (const key of remove) delete expected[key];
    expect(JSON.parse(editJson(written, { set, remove }))).toEqual(JSON.parse(JSON.stringify(expected)));
  }
});
