import { createDrain } from "../../src/drain.ts";
import type { Uuid } from "../../src/id.ts";
import { silentLog } from "../../src/log.ts";
import { wholeAttempts } from "../../src/metering/attempts.ts";
import type { AttemptRecord, CallRecord, Charge } from "../../src/metering/record.ts";
import { startServer } from "../../src/server.ts";
import { type TestAppOptions, toRequest } from "./app.ts";
import { dataOf, type PeopledApp, startWithPeople, until } from "./people.ts";
import { type Provider, startProvider } from "./provider.ts";

/** Prices of the models in these tests, per million tokens. */
export const price = { currency: "CNY", prompt: "4", cached: "1", completion: "16.5" };

/** A call as it stands in its table. */
type StoredCall = CallRecord & { attempts: AttemptRecord[]; charges: readonly Charge[] | null };

/** The system in production in front of one provider, in both of its dialects, and an app key. */
export interface GatewayApp extends AsyncDisposable {
  app: PeopledApp;
  provider: Provider;
  key: string;
  appId: Uuid;
  /** Where an unmodified client finds it; starts listening when it is first asked for. */
  url: () => string;
  /** Calls the data plane. */
  post: (path: string, body: object, options?: { signal?: AbortSignal }) => Promise<Response>;
  /** The only record there is, or will be in a moment; `count` of them, in order. */
  records: (count?: number) => Promise<StoredCall[]>;
}

/**
 * Starts it: the model `gpt` answers in OpenAI's dialect, `claude` in Anthropic's; the app's own model is `gpt`. The seed's
 * completion asks `gpt` too. `config` is added to the app's.
 */
export async function startGateway({
  config = {},
  ...options
}: TestAppOptions & { config?: object } = {}): Promise<GatewayApp> {
  await using building = new AsyncDisposableStack();
  const provider = building.use(await startProvider());
  const app = building.use(
    await startWithPeople({
      ...options,
      environment: {
        OPEN_API_BASE: provider.baseUrl,
        OPEN_API_KEY: "sk-of-the-provider",
        OPEN_API_MODEL: "gpt",
        ...options.environment,
      },
    }),
  );
  const post = async (path: string, body: object) =>
    dataOf(await app.owner.call<{ id: Uuid }>("POST", path, { body }));
  const { id: provider_id } = await post("/provider", {
    name: "anthropic",
    dialect: "anthropic",
    base_url: provider.baseUrl,
    api_key: "sk-ant-of-the-provider",
    local: true,
  });
  const gpt = await post("/model", { name: "gpt", upstream_name: "model-1" });
  const claude = await post("/model", { name: "claude", upstream_name: "model-2", provider_id });
  for (const { id } of [gpt, claude])
    await post(`/model/${id}/price`, { ...price, valid_from: "2020-01-01T00:00:00Z" });
  const { id: appId } = await post("/app", {
    config: { model: "gpt", models: ["claude"], ...config },
  });
  const { key } = dataOf(await app.owner.call<{ key: string }>("POST", `/app/${appId}/key`, { body: {} }));
  const headers = { authorization: `Bearer ${key}` };
  await heard(app, appId);
  const { sql } = app.database;

  let url: string | undefined;
  const moved = building.move();
  return {
    app,
    provider,
    key,
    appId,
    url: () => {
      if (url === undefined) {
        const server = startServer(app, { host: "127.0.0.1", port: 0, drain: createDrain(), log: silentLog });
        moved.defer(() => server.stop());
        url = server.url;
      }
      return url;
    },
    post: (path, body, { signal } = {}) => {
      const request = toRequest("POST", path, { body, headers });
      return app.fetch(signal ? new Request(request, { signal }) : request);
    },
    async records(count = 1) {
      await until(async () => {
        const [row] = await sql<{ calls: number }[]>`select count(*)::int as calls from request`;
        return row?.calls === count;
      });
      const rows = await sql<StoredCall[]>`select * from request order by id`;
      return rows.map((row) => ({ ...row, attempts: wholeAttempts(row, row.attempts) }));
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

/**
 * Waits until the service has heard of every change so far: notifications come in the order of the commits, so that a key which
 * it knew, and whose end it has heard of, tells that of the models and prices it has heard as well.
 */
export async function heard(app: PeopledApp, appId: Uuid): Promise<void> {
  const path = `/app/${appId}/key`;
  const { id, key } = dataOf(await app.owner.call<{ id: Uuid; key: string }>("POST", path, { body: {} }));
  const open = async () =>
    (await app.fetch(toRequest("GET", "/v1/models", { headers: { authorization: `Bearer ${key}` } }))).status;
  await open();
  dataOf(await app.owner.call("POST", `${path}/${id}/delete`));
  await until(async () => (await open()) === 401);
}
