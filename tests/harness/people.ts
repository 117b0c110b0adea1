import type { Role } from "../../src/auth/principal.ts";
import type { Uuid } from "../../src/id.ts";
import { type Answer, type CallOptions, startTestApp, type TestApp, type TestAppOptions } from "./app.ts";

/** Everybody's password in these tests. */
export const password = "correct horse battery staple";

/** The first owner, as the settings make one. */
export const firstOwner = { email: "owner@example.com", password };

/** What `/auth/login` and `/auth/refresh` answer. */
export interface WireTokens {
  token_type: string;
  access_token: string;
  expires_in: number;
  refresh_token: string;
  refresh_expires_in: number;
}

/** Somebody who has logged in. */
export interface Person {
  id: Uuid;
  email: string;
  role: Role;
  sessionId: Uuid;
  accessToken: string;
  refreshToken: string;
  /** The header that says who they are. */
  headers: Record<string, string>;
  /** Calls a route as this person; `on` another process of the same installation. */
  call: <T = Record<string, unknown>>(
    method: string,
    path: string,
    options?: CallOptions & { on?: TestApp },
  ) => Promise<Answer<T>>;
}

/** The system in production, with a first owner, and ways to get more people. */
export interface PeopledApp extends TestApp {
  owner: Person;
  /** Logs in over the API. */
  logIn: (email: string, secret?: string, headers?: Record<string, string>) => Promise<Person>;
  /** The owner makes an account of this role, and they log in. */
  add: (role: Role, email?: string) => Promise<Person>;
  /** An app with a key, made by somebody; the key's text is in `key`. */
  addKey: (person: Person, fields?: object) => Promise<MadeKey>;
}

/** An app key as it is answered when it is made. */
export interface MadeKey {
  appId: Uuid;
  id: Uuid;
  key: string;
  public_id: string;
  expires_at: string | null;
}

/** The data of an answer that must be a success. */
export function dataOf<T>({ code, message, data }: Answer<T>): T {
  if (code !== "SUCCESS") throw new Error(`${code}: ${message} ${JSON.stringify(data)}`);
  return data;
}

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

/**
 * Within this what is promised within a second has come, on a machine that may stand still for a while: by the service's own clock
 * the promise is tested where it is kept (`tests/auth/access-cache.test.ts`). In milliseconds.
 */
export const soonMs = 4000;

/** Waits until `condition` holds; resolves with how long that took, in milliseconds. */
export async function until(condition: () => Promise<boolean> | boolean, limitMs = 30_000): Promise<number> {
  const started = performance.now();
  while (!(await condition())) {
    if (performance.now() - started > limitMs) throw new Error(`it did not come within ${limitMs} ms`);
    await Bun.sleep(5);
  }
  return performance.now() - started;
}

/** Logs in over the API. */
export async function logIn(
  app: TestApp,
  email: string,
  secret = password,
  headers: Record<string, string> = {},
): Promise<Person> {
  const answer = await app.call<WireTokens>("POST", "/auth/login", {
    body: { email, password: secret },
    headers,
  });
  const { access_token: accessToken, refresh_token: refreshToken } = dataOf(answer);
  const own = bearer(accessToken);
  const call: Person["call"] = (method, path, { on = app, headers: more, ...options } = {}) =>
    on.call(method, path, { ...options, headers: { ...own, ...more } });
  const me = await call<{ id: Uuid; role: Role; session_id: Uuid }>("GET", "/auth/me");
  const { id, role, session_id: sessionId } = dataOf(me);
  return { id, email, role, sessionId, accessToken, refreshToken, headers: own, call };
}

/** Starts the system in production with an owner who has logged in. */
export async function startWithPeople(options: Omit<TestAppOptions, "dev"> = {}): Promise<PeopledApp> {
  const environment = {
    LLMOPS_ADMIN_EMAIL: firstOwner.email,
    LLMOPS_ADMIN_PASSWORD: firstOwner.password,
    ...options.environment,
  };
  const app = await startTestApp({ ...options, dev: false, environment });
  const owner = await logIn(app, firstOwner.email);
  let count = 0;
  return {
    ...app,
    owner,
    logIn: (email, secret, headers) => logIn(app, email, secret, headers),
    async add(role, email = `${role}-${++count}@example.com`) {
      dataOf(await owner.call("POST", "/account", { body: { email, role, password } }));
      return logIn(app, email);
    },
    async addKey(person, fields = {}) {
      const { id: appId } = dataOf(await person.call<{ id: Uuid }>("POST", "/app"));
      const made = await person.call<Omit<MadeKey, "appId">>("POST", `/app/${appId}/key`, { body: fields });
      return { appId, ...dataOf(made) };
    },
  };
}
