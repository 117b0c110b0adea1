import { test } from "bun:test";

/** Registers a test: its title, a sentence; its body; how long it may take, in milliseconds. */
type Register = (title: string, body: () => Promise<void>, timeout?: number) => void;

/**
 * `test`, where what it needs is there. Where it is not, the test is reported as not run, with the reason; under
 * REQUIRE_ALL=1 that is a failure, so that CI cannot pass by missing something.
 */
export function needs(condition: boolean, reason: string): Register {
  if (condition) return test;
  if (process.env.REQUIRE_ALL !== "1") return (title) => test.skip(`${title} (not run: ${reason})`, () => {});
  return (title) =>
    test(title, () => {
      throw new Error(`not run, and REQUIRE_ALL=1 is set: ${reason}`);
    });
}

/** Chromium's executable; `undefined` where there is none. */
export const chromium: string | undefined =
  process.env.CHROMIUM || Bun.which("chromium") || Bun.which("google-chrome") || undefined;

/** A test in a real browser. */
export const testInBrowser = needs(chromium !== undefined, "Chromium is not installed");

/** Redis' server; `undefined` where there is none. */
export const redisServer: string | undefined = Bun.which("redis-server") ?? undefined;

/** A test with a real Redis. */
export const testWithRedis = needs(redisServer !== undefined, "redis-server is not installed");

/** A test that needs a PostgreSQL server of its own to come and go. */
export const testOnExternal = needs(Boolean(process.env.TEST_DATABASE_URL), "TEST_DATABASE_URL is not set");
