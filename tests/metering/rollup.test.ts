import { expect, test } from "bun:test";
import { nilUuid } from "../../src/id.ts";
import type { AttemptRecord } from "../../src/metering/record.ts";
import { rollUp } from "../../src/metering/rollup.ts";
import { callAt } from "../harness/call-record.ts";

const eight = new Date("2026-11-24T08:15:00.000Z");
const nine = new Date("2026-11-24T09:59:59.999Z");
const tomorrow = new Date("2026-11-25T00:00:00.000Z");

test("sums up calls by hour, day and month, for the service and for each user", () => {
  const rows = rollUp([
    callAt(eight, { cost: "0.1", ttft_ms: 100, duration_ms: 900, end_user: "li" }),
    callAt(eight, { cost: "0.25", ttft_ms: 100, duration_ms: 0, status: "error", cache_hit: true }),
    callAt(nine, { cost: "1", ttft_ms: null, duration_ms: 900, usage_source: "estimate" }),
    callAt(tomorrow, { cost: null, currency: null, prompt_tokens: 7, model_used: null, provider: null }),
  ]);
  const shown = rows.map((row) => [
    row.grain,
    row.starts_at,
    row.cut,
    row.end_user,
    row.model,
    row.currency,
    row.calls,
    row.cost,
    row.ttft,
    row.duration,
  ]);
  const at = {
    eight: "2026-11-24T08:00:00.000Z",
    nine: "2026-11-24T09:00:00.000Z",
    midnight: "2026-11-25T00:00:00.000Z",
    day: "2026-11-24T00:00:00.000Z",
    month: "2026-11-01T00:00:00.000Z",
  };
  // A hundred milliseconds are in bucket 118, nine hundred in 174, five in 42 and nine in 57: twelve digits each.
  const [b118, b174] = [`e${118 * 12}`, `e${174 * 12}`];
  const last = ["app", "", 1, "0", `1e${42 * 12}`, `1e${57 * 12}`];
  const both = `000000000002${"0".repeat(173 * 12)}000000000001e0`;
  expect(shown).toEqual([
    [
      "hour",
      at.eight,
      "service",
      "",
      "gpt",
      "CNY",
      2,
      "0.35",
      `000000000002${b118}`,
      `000000000001${"0".repeat(173 * 12)}000000000001e0`,
    ],
    ["hour", at.eight, "user", "li", "", "CNY", 1, "0.1", `1${b118}`, `1${b174}`],
    ["hour", at.nine, "service", "", "gpt", "CNY", 1, "1", "0", `1${b174}`],
    ["hour", at.midnight, "service", "", ...last],
    ["day", at.day, "service", "", "gpt", "CNY", 3, "1.35", `000000000002${b118}`, both],
    ["day", at.day, "user", "li", "", "CNY", 1, "0.1", `1${b118}`, `1${b174}`],
    ["day", at.midnight, "service", "", ...last],
    ["day", at.day, "app", "", "gpt", "CNY", 3, "1.35", `000000000002${b118}`, both],
    ["day", at.midnight, "app", "", ...last],
    ["month", at.month, "service", "", ...last],
    ["month", at.month, "service", "", "gpt", "CNY", 3, "1.35", `000000000002${b118}`, both],
    ["month", at.month, "user", "li", "", "CNY", 1, "0.1", `1${b118}`, `1${b174}`],
  ]);
  expect(rows.find(({ grain, model }) => grain === "month" && model === "gpt")).toMatchObject({
    errors: 1,
    cache_hits: 1,
    estimated_calls: 1,
    unpriced_calls: 0,
    prompt_tokens: 3,
    completion_tokens: 3,
    key_id: nilUuid,
  });
});

test("counts a call once, whatever its attempts cost in other currencies", () => {
  const attempt = { currency: "USD", cost: "0.02" } as AttemptRecord;
  const rows = rollUp([callAt(eight, { cost: "0.1", attempts: [attempt, { ...attempt, currency: "CNY" }] })]);
  expect(
    rows
      .filter(({ grain, cut }) => grain === "day" && cut === "service")
      .map(({ currency, calls, cost, duration }) => [currency, calls, cost, duration]),
  ).toEqual([
    ["CNY", 1, "0.1", `1e${57 * 12}`],
    ["USD", 0, "0.02", "0"],
  ]);
});

test("sums up an app by the day without its keys, and nothing of it with another app, model, provider or currency", () => {
  const [one, two] = ["019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e01", "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e02"];
  const rows = rollUp([
    callAt(eight, { key_id: one, cost: "0.1", ttft_ms: 100, duration_ms: 900 }),
    callAt(nine, {
      key_id: two,
      cost: "0.2",
      ttft_ms: 100,
      duration_ms: 900,
      status: "error",
      end_user: "li",
    }),
    callAt(nine, { key_id: two, cost: null, currency: null }),
    callAt(nine, { key_id: one, app_id: two, cost: "0.3" }),
    callAt(nine, { key_id: one, model_used: "other", cost: "0.4" }),
    callAt(nine, { key_id: one, provider: "other", cost: "0.5" }),
    callAt(tomorrow, { key_id: one, cost: "0.6" }),
  ]);
  const ofApps = rows.filter(({ cut }) => cut === "app");
  expect(ofApps.map(({ calls, cost }) => [calls, cost]).sort()).toEqual([
    [1, "0"],
    [1, "0.3"],
    [1, "0.4"],
    [1, "0.5"],
    [1, "0.6"],
    [2, "0.3"],
  ]);
  for (const { grain, key_id, end_user } of ofApps)
    expect([grain, key_id, end_user]).toEqual(["day", nilUuid, ""]);
  expect(ofApps.find(({ calls }) => calls === 2)).toMatchObject({
    errors: 1,
    ttft: `000000000002e${118 * 12}`,
    duration: `000000000002e${174 * 12}`,
  });
});

test("takes out exactly what it has put in, in the same order", () => {
  const calls = [eight, nine, tomorrow].flatMap((time) =>
    ["li", "han", null].map((end_user, index) =>
      callAt(time, { end_user, ttft_ms: index * 10, cost: `0.${index}` }),
    ),
  );
  const negative = (text: string) => (text === "0" ? text : `-${text}`);
  expect(rollUp(calls, -1)).toEqual(
    rollUp(calls).map((row) => ({
      ...row,
      ...Object.fromEntries(
        Object.entries(row).flatMap(([name, value]) =>
          typeof value === "number" ? [[name, 0 - value]] : [],
        ),
      ),
      cost: negative(row.cost),
      ttft: negative(row.ttft),
      duration: negative(row.duration),
    })),
  );
});

test("gives every process the same order, whatever order the calls came in", () => {
  const calls = [tomorrow, eight, nine].flatMap((time) =>
    ["b", "a"].map((end_user) => callAt(time, { end_user, model_used: `model-${end_user}` })),
  );
  expect(rollUp([...calls].reverse())).toEqual(rollUp(calls));
});
