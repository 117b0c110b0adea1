import { describe, expect, test } from "bun:test";
import { UpstreamError } from "../../src/errors/app-error.ts";
import { createBreaker } from "../../src/gateway/breaker.ts";
import { createChooser } from "../../src/gateway/choose.ts";
import { retryDelayMs } from "../../src/gateway/retry.ts";
import type { Route, Target } from "../../src/gateway/target.ts";
import { silentLog } from "../../src/log.ts";

const failed = new UpstreamError("failed");

const target = (name: string, concurrencyMax?: number): Target => ({
  name,
  upstreamName: name,
  rules: {},
  prices: [],
  outputTokensMax: undefined,
  imageTokensMax: undefined,
  provider: {
    name: `provider of ${name}`,
    dialect: "openai",
    baseUrl: "https://models.example",
    apiKey: "x",
    headers: {},
    timeouts: { connectMs: 1, firstByteMs: 1, idleMs: 1, totalMs: 1 },
    concurrencyMax,
    local: false,
    proxied: false,
    keyless: false,
  },
});
const route = (...targets: Target[]): Route => ({
  routing: "ordered",
  targets: targets.map((each) => ({ target: each, weight: 1 })),
});

describe("a breaker", () => {
  const start = () => {
    const time = { now: 0 };
    return { time, breaker: createBreaker({ now: () => time.now }) };
  };
  const fail = (breaker: ReturnType<typeof createBreaker>, times: number, error: unknown = failed) => {
    for (let i = 0; i < times; i++) breaker.failed(error, breaker.enter());
  };

  test("opens at the fifth failure in a row for 10 s, then lets one call at a time find out", () => {
    const { time, breaker } = start();
    fail(breaker, 4);
    expect(breaker.waitMs()).toBe(0);
    fail(breaker, 1);
    expect(breaker.waitMs()).toBe(10_000);
    time.now = 10_000;
    expect(breaker.waitMs()).toBe(0);
    breaker.enter();
    expect(breaker.waitMs()).toBeGreaterThan(0);
    breaker.succeeded();
    expect(breaker.waitMs()).toBe(0);
  });

  test("doubles its time with each failed probe, up to a minute", () => {
    const { time, breaker } = start();
    fail(breaker, 5);
    for (const expected of [20_000, 40_000, 60_000, 60_000]) {
      time.now += breaker.waitMs();
      fail(breaker, 1);
      expect(breaker.waitMs()).toBe(expected);
    }
  });

  test("stays open no longer for failures of calls that were under way when it opened", () => {
    const { time, breaker } = start();
    const calls = Array.from({ length: 11 }, () => breaker.enter());
    for (const call of calls.slice(1)) breaker.failed(failed, call);
    expect(breaker.waitMs()).toBe(10_000);
    time.now = 10_000;
    const probe = breaker.enter();
    // The last of them ends while another call probes: that goes on probing, alone.
    breaker.failed(undefined, calls[0] ?? 0);
    expect(breaker.waitMs()).toBe(1000);
    // A probe may be tried again, and is one probe nevertheless.
    for (let i = 0; i < 3; i++) breaker.failed(failed, probe);
    expect(breaker.waitMs()).toBe(20_000);
  });

  test("counts no failure of a caller's, and none where the caller left", () => {
    const { breaker } = start();
    for (const reason of ["bad_request", "rate_limited", "busy"] as const)
      fail(breaker, 10, new UpstreamError(reason));
    for (let i = 0; i < 10; i++) breaker.failed(undefined, breaker.enter());
    expect(breaker.waitMs()).toBe(0);
  });

  test("leaves a target alone as long as it asks, at most a minute, and a missing model for ten", () => {
    const { breaker } = start();
    fail(breaker, 1, new UpstreamError("rate_limited", { retryAfter: 7 }));
    expect([breaker.waitMs(), breaker.why]).toEqual([7000, "rate_limited"]);
    fail(breaker, 1, new UpstreamError("rate_limited", { retryAfter: 3600 }));
    expect(breaker.waitMs()).toBe(60_000);
    fail(breaker, 1, new UpstreamError("model_not_found"));
    expect([breaker.waitMs(), breaker.why]).toEqual([600_000, "model_not_found"]);
  });
});

describe("a retry", () => {
  test("waits a random part of a time that doubles, or as long as it is asked, twice at most", () => {
    expect([0, 1, 2].map((retries) => retryDelayMs(failed, retries, () => 1))).toEqual([250, 500, undefined]);
    expect(retryDelayMs(failed, 0, () => 0.5)).toBe(125);
    expect(retryDelayMs(new UpstreamError("rate_limited", { retryAfter: 5 }), 0)).toBe(5000);
    expect(retryDelayMs(new UpstreamError("rate_limited", { retryAfter: 6 }), 0)).toBeUndefined();
  });

  test("is not worth it for what another try would not mend", () => {
    for (const reason of [
      "bad_request",
      "unauthorized",
      "model_not_found",
      "timeout_first_byte",
      "timeout_total",
    ] as const) {
      expect(retryDelayMs(new UpstreamError(reason), 0)).toBeUndefined();
    }
    expect(retryDelayMs(new Error("ours"), 0)).toBeUndefined();
  });
});

describe("a choice", () => {
  const names = (choice: ReturnType<ReturnType<typeof createChooser>["choose"]>) => {
    const all: string[] = [];
    for (let next = choice.next(); next; next = choice.next()) {
      all.push(next.target.name);
      next.release();
    }
    return all;
  };

  test("goes in order, past what is open, and says when the first is back", () => {
    const time = { now: 0 };
    const chooser = createChooser({ now: () => time.now, log: silentLog });
    const [a, b] = [target("a"), target("b")];
    expect(names(chooser.choose(route(a, b)))).toEqual(["a", "b"]);
    const spoil = (each: Target) => {
      for (let i = 0; i < 5; i++) {
        const admitted = chooser.choose(route(each)).next();
        admitted?.failed(failed);
        admitted?.release();
      }
    };
    spoil(a);
    expect(names(chooser.choose(route(a, b)))).toEqual(["b"]);
    spoil(b);
    const choice = chooser.choose(route(a, b));
    expect(choice.next()).toBeUndefined();
    expect(choice.refusal()).toMatchObject({ reason: "unavailable", status: 503, data: { retry_after: 10 } });
  });

  test("goes past a provider that has as many calls as it may", () => {
    const chooser = createChooser({ now: () => 0, log: silentLog });
    const [a, b] = [target("a", 1), target("b")];
    const held = chooser.choose(route(a, b)).next();
    expect(names(chooser.choose(route(a, b)))).toEqual(["b"]);
    expect(chooser.choose(route(a)).next()).toBeUndefined();
    held?.release();
    held?.release();
    expect(names(chooser.choose(route(a, b)))).toEqual(["a", "b"]);
  });

  test("by weight draws each as often as its weight says, and all in the end", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 16807) % 2147483647;
      return seed / 2147483647;
    };
    const chooser = createChooser({ now: () => 0, random, log: silentLog });
    const weighted: Route = {
      routing: "weighted",
      targets: [
        { target: target("a"), weight: 3 },
        { target: target("b"), weight: 1 },
      ],
    };
    let first = 0;
    for (let i = 0; i < 4000; i++) {
      const order = names(chooser.choose(weighted));
      expect(order.toSorted()).toEqual(["a", "b"]);
      if (order[0] === "a") first++;
    }
    expect(Math.abs(first / 4000 - 0.75)).toBeLessThan(0.03);
  });
});
