import { join } from "node:path";
import type { Uuid } from "../../src/id.ts";
import { newId } from "../../src/id.ts";
import type { BudgetRow } from "../../src/sql/budget.ts";
import { insertBudget } from "../../src/sql/budget.ts";
import type { Db } from "../../src/sql/db.ts";
import { insertRateLimit, type RateLimitRow } from "../../src/sql/rate-limit.ts";
import type { TestDatabase } from "./database.ts";
import { until } from "./people.ts";
import { createProgram, type Program, type Running } from "./program.ts";

/** A provider that writes answers of random length, and knows what it has written for whom. */
export interface Writer extends AsyncDisposable {
  baseUrl: string;
  /** Tokens, questions included, by the caller's `user`; also of answers that nobody got. */
  tokens: ReadonlyMap<string, number>;
  /** When each question came in, in milliseconds since 1970, and what it and its answer have in tokens. */
  arrivals: readonly { user: string; at: number; tokens: number }[];
}

/** Tokens of every question, as this provider counts them. */
export const questionTokens = 20;

interface Question {
  user?: string;
  max_tokens?: number;
  model: string;
  stream?: boolean;
}

/** Pieces of an answer that is a stream. */
const streamPieces = 4;

/**
 * Starts it. Answers are log-normal in length, with a median of `median` tokens, and no longer than they may be; each takes
 * `delayMs` at the most, and `delayMsMin` at the least.
 */
export function startWriter({ median = 150, delayMs = 50, delayMsMin = 0 } = {}): Writer {
  const tokens = new Map<string, number>();
  const arrivals: { user: string; at: number; tokens: number }[] = [];
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    async fetch(request) {
      if (request.method === "GET") return Response.json({ data: [{ id: "m" }] });
      const body = (await request.json()) as Question;
      const user = body.user ?? "";
      const wished = Math.max(1, Math.round(median * Math.exp(0.5 * normal())));
      const completion = Math.min(wished, body.max_tokens ?? Number.POSITIVE_INFINITY);
      const total = questionTokens + completion;
      arrivals.push({ user, at: Date.now(), tokens: total });
      tokens.set(user, (tokens.get(user) ?? 0) + total);
      const usage = { prompt_tokens: questionTokens, completion_tokens: completion, total_tokens: total };
      const takesMs = delayMsMin + Math.random() * (delayMs - delayMsMin);
      if (body.stream) return streamed(body.model, usage, takesMs);
      await Bun.sleep(takesMs);
      return Response.json({
        id: "c",
        object: "chat.completion",
        created: 1,
        model: body.model,
        choices: [{ index: 0, message: { role: "assistant", content: "x" }, finish_reason: "stop" }],
        usage,
      });
    },
  });
  return {
    baseUrl: `${server.url.origin}/v1`,
    tokens,
    arrivals,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** An answer piece by piece, its usage in the last. */
function streamed(model: string, usage: object, takesMs: number): Response {
  const encoder = new TextEncoder();
  let left = streamPieces;
  const event = (rest: object) => {
    const data = { id: "c", object: "chat.completion.chunk", created: 1, model, ...rest };
    return encoder.encode(`data: ${JSON.stringify(data)}\n\n`);
  };
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await Bun.sleep(takesMs / streamPieces);
      const finish_reason = --left === 0 ? "stop" : null;
      controller.enqueue(event({ choices: [{ index: 0, delta: { content: "x" }, finish_reason }] }));
      if (left > 0) return;
      controller.enqueue(event({ choices: [], usage }));
      controller.enqueue(encoder.encode("data: [DONE]\n\n"));
      controller.close();
    },
  });
  return new Response(stream, { headers: { "content-type": "text/event-stream" } });
}

/** An app with a key. */
export interface Tenant {
  appId: Uuid;
  keyId: Uuid;
  accountId: Uuid;
  key: string;
}

/** Some processes on one database, each with a data folder of its own. */
export interface Fleet extends AsyncDisposable {
  urls: readonly string[];
  /** Resolves when a process, as it runs now, has said something in its log. */
  said(place: number, pattern: RegExp): Promise<string>;
  pid(place: number): number;
  /** Ends a process without a word. */
  kill(place: number): Promise<void>;
  /** Starts it again, on the same folder, or on a new one where that is lost. */
  restart(place: number, options?: { lost: boolean }): Promise<void>;
  stop(place: number): Promise<void>;
  /** Runs a command of the program on the database. */
  run: Program["run"];
  tenant(config?: object): Promise<Tenant>;
  limit(limit: Partial<RateLimitRow>): Promise<void>;
  budget(budget: Partial<BudgetRow>): Promise<Uuid>;
  /** Waits until every process has heard of all changes so far: notifications come in the order of the commits. */
  heard(appId: Uuid): Promise<void>;
}

/** Calls a model through one of the processes. */
export async function callFleet(
  url: string,
  { key, user, maxTokens = 1024 }: { key: string; user: string; maxTokens?: number },
): Promise<{ status: number; headers: Headers; text: string }> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "app",
      user,
      max_tokens: maxTokens,
      messages: [{ role: "user", content: "hi" }],
    }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** Starts the processes. A token of the model costs 1 XTS (the code for tests), so that budgets are of tokens. */
export async function startFleet({
  database: { sql, url },
  baseUrl,
  processes,
  environment = {},
  command,
}: {
  database: Pick<TestDatabase, "sql" | "url">;
  baseUrl: string;
  processes: number;
  environment?: Record<string, string>;
  /** The program; without it, it is run from its sources. */
  command?: readonly string[] | undefined;
}): Promise<Fleet> {
  const program = createProgram(command && { command });
  const settings = {
    DATABASE_URL: url,
    DATABASE_POOL_SIZE: "4",
    LLMOPS_SECRET_KEY: "a secret of the tests, 32 bytes long or more",
    OPEN_API_BASE: baseUrl,
    OPEN_API_KEY: "sk-x",
    OPEN_API_MODEL: "m",
    LOG_LEVEL: "warn",
    ...environment,
  };
  const db = sql as unknown as Db;
  const at = { created_at: new Date(), updated_at: new Date() };
  const modelId = newId();
  await sql`
    insert into model (id, name, upstream_name, created_at, updated_at)
    values (${modelId}, 'm', 'm', now(), now())`;
  await sql`
    insert into price (id, model_id, valid_from, currency, prompt, completion, created_at)
    values (${newId()}, ${modelId}, '2020-01-01', 'XTS', 1000000, 1000000, now())`;

  const running: Running[] = [];
  const urls: string[] = [];
  const folders = Array.from({ length: processes }, (_, place) => join(program.folder, `data-${place}`));
  const start = async (place: number) => {
    const own = { ...settings, LLMOPS_DATA_DIR: folders[place] ?? "" };
    const child = program.start(["serve", "--port", "0"], own);
    running[place] = child;
    urls[place] = await child.said(/listens on (http\S+)/);
  };
  for (let place = 0; place < processes; place++) await start(place);
  const processAt = (place: number): Running => {
    const found = running[place];
    if (!found) throw new Error(`there is no process ${place}`);
    return found;
  };

  return {
    urls,
    said: (place, pattern) => processAt(place).said(pattern),
    pid: (place) => processAt(place).pid,
    async kill(place) {
      running[place]?.signal("SIGKILL");
      await running[place]?.finished;
    },
    async stop(place) {
      running[place]?.signal("SIGTERM");
      await running[place]?.finished;
    },
    async restart(place, { lost } = { lost: false }) {
      if (lost) folders[place] = join(program.folder, `data-${place}-${newId()}`);
      await start(place);
    },
    run: (args, more) => program.run(args, { ...settings, ...more }),
    async tenant(config = {}) {
      const appId = newId();
      const accountId = newId();
      await sql`
        insert into app (id, account_id, name, config, created_at, updated_at)
        values (${appId}, ${accountId}, 'app', ${sql.json({ model: "m", ...config } as never)}, now(), now())`;
      const { stdout } = await program.run(["key", "create", "--app", appId], settings);
      const [row] = await sql<{ id: Uuid }[]>`select id from app_key where app_id = ${appId}`;
      return { appId, accountId, keyId: row?.id ?? "", key: stdout.trim() };
    },
    async limit(limit) {
      const none = { subject: "", end_user: "", requests: null, tokens: null, concurrency: null };
      await insertRateLimit(db, { id: newId(), scope: "key", ...none, ...at, ...limit });
    },
    async budget(budget) {
      const id = newId();
      await insertBudget(db, {
        id,
        name: `budget of ${budget.scope}`,
        scope: "app",
        subject_id: newId(),
        end_user: null,
        period: "forever",
        time_zone: "UTC",
        currency: "XTS",
        amount: "1",
        hard: true,
        warn_at: [],
        status: "",
        deleted_at: null,
        ...at,
        ...budget,
      });
      return id;
    },
    async heard(appId) {
      const { stdout } = await program.run(["key", "create", "--app", appId], settings);
      const headers = { authorization: `Bearer ${stdout.trim()}` };
      const open = async (url: string) => (await fetch(`${url}/v1/models`, { headers })).status;
      for (const url of urls) await open(url);
      await sql`
        update app_key set revoked_at = now()
        where id = (select id from app_key where app_id = ${appId} order by id desc limit 1)`;
      for (const url of urls) await until(async () => (await open(url)) === 401);
    },
    async [Symbol.asyncDispose]() {
      program[Symbol.dispose]();
    },
  };
}
