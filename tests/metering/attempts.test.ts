import { expect, test } from "bun:test";
import { attemptsJson, wholeAttempts } from "../../src/metering/attempts.ts";
import type { AttemptRecord } from "../../src/metering/record.ts";
import { callAt } from "../harness/call-record.ts";

const call = callAt(new Date());
const [same] = wholeAttempts(call, [{}]) as [AttemptRecord];

/** What is kept of attempts, and that it is whole again. */
function kept(...attempts: AttemptRecord[]): unknown {
  const stored = JSON.parse(attemptsJson(call, attempts));
  expect(wholeAttempts(call, stored)).toEqual(attempts);
  return stored;
}

test("keeps of an attempt only what its call does not say", () => {
  expect(kept()).toEqual([]);
  expect(kept(same)).toEqual([{}]);
  expect(kept({ ...same, model: 'gpt-4\n"x"', started_ms: 2, cache_write_long_tokens: 7 })).toEqual([
    { model: 'gpt-4\n"x"', started_ms: 2, cache_write_long_tokens: 7 },
  ]);
  const failed = { ...same, status: "error", status_code: null, error_code: "timeout_idle" } as const;
  expect(kept({ ...failed, completion_tokens: 0 }, { ...same, started_ms: 80 })).toEqual([
    { status: "error", status_code: null, error_code: "timeout_idle", completion_tokens: 0 },
    { started_ms: 80 },
  ]);
});

test("keeps a cost with its currency, whichever of them is another", () => {
  expect(kept({ ...same, currency: "USD" })).toEqual([{ cost: "0.5", currency: "USD" }]);
  expect(kept({ ...same, cost: null })).toEqual([{ cost: null, currency: "CNY" }]);
});
