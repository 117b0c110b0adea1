import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/clock.ts";
import { loadConfig } from "../../src/config/config.ts";
import { createContext } from "../../src/context.ts";
import type { Envelope } from "../../src/errors/envelope.ts";
import { createLog, type Log } from "../../src/log.ts";
import { createDatabase, type TestDatabase } from "./database.ts";

/** What a call answered. */
export interface Answer<T = Record<string, unknown>> extends Envelope<T> {
  status: number;
  headers: Headers;
}

export interface CallOptions {
  /** Sent as JSON; a string or bytes are sent as they are. */
  body?: unknown;
  headers?: Record<string, string>;
}

/** The whole system in this process, over a database of its own, as an outsider sees it. */
export interface TestApp extends AsyncDisposable {
  database: TestDatabase;
  /** Where the first owner is made; `undefined` where there is an account. */
  setupUrl: string | undefined;
  /** Every line that was logged, as one text. */
  logged: () => string;
  fetch: (request: Request) => Promise<Response>;
  /** Calls a route that answers with the envelope. */
  call: <T = Record<string, unknown>>(
    method: string,
    path: string,
    options?: CallOptions,
  ) => Promise<Answer<T>>;
}

export interface TestAppOptions {
  /** Production is without `--dev`; the default is development, where everybody is the owner. */
  dev?: boolean;
  environment?: Record<string, string>;
  /** Another process's database, which stays when this app is gone. */
  database?: TestDatabase;
  clock?: Clock;
}

/** A request as a client on this machine sends it. */
export function toRequest(method: string, path: string, { body, headers = {} }: CallOptions = {}): Request {
  const raw = typeof body === "string" || body instanceof Uint8Array;
  return new Request(`http://localhost:5000${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
  });
}

/** Starts the system the way `serve` does, but without a socket. */
export async function startTestApp({
  dev = true,
  environment = {},
  database: shared,
  clock,
}: TestAppOptions = {}): Promise<TestApp> {
  const database = shared ?? (await createDatabase());
  const dataDir = await mkdtemp(join(tmpdir(), "llmops-test-"));
  const lines: string[] = [];
  const log: Log = createLog({ level: "debug", format: "json", write: (line) => lines.push(line) });
  const config = loadConfig({
    environment: {
      DATABASE_URL: database.url,
      DATABASE_POOL_SIZE: "4",
      LLMOPS_DATA_DIR: dataDir,
      LLMOPS_SECRET_KEY: "a secret of the tests, 32 bytes long or more",
      ...environment,
    },
    dev,
  });
  const context = await createContext(config, log, { ...(clock && { clock }) });
  const fetch = (request: Request) => context.app.fetch(request);
  return {
    database,
    setupUrl: context.setupUrl,
    logged: () => lines.join(""),
    fetch,
    async call<T>(method: string, path: string, options?: CallOptions) {
      const response = await fetch(toRequest(method, path, options));
      const envelope = (await response.json()) as Envelope<T>;
      return { ...envelope, status: response.status, headers: response.headers };
    },
    async [Symbol.asyncDispose]() {
      await context[Symbol.asyncDispose]();
      await rm(dataDir, { recursive: true, force: true });
      if (!shared) await database[Symbol.asyncDispose]();
    },
  };
}
