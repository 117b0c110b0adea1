import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { App } from "../../src/app.ts";
import { loadConfig } from "../../src/config/config.ts";
import { type Context, createContext } from "../../src/context.ts";
import { createDrain } from "../../src/drain.ts";
import { type Log, silentLog } from "../../src/log.ts";
import { startServer } from "../../src/server.ts";
import { type CallOptions, startTestApp, type TestApp, type TestAppOptions } from "../harness/app.ts";

/** Somebody who has logged in. */
export interface Person {
  id: string;
  email: string;
  password: string;
  access: string;
  refresh: string;
  /** Ready for `headers`. */
  bearer: { authorization: string };
}

export const secretKey = "a secret key that is known to the test alone";
export const ownerEmail = "owner@example.com";
export const ownerPassword = "correct horse battery staple";

/** The system in production, with an owner. */
export function startProduction({
  environment = {},
}: Pick<TestAppOptions, "environment"> = {}): Promise<TestApp> {
  return startTestApp({
    dev: false,
    environment: {
      LLMOPS_SECRET_KEY: secretKey,
      LLMOPS_ADMIN_EMAIL: ownerEmail,
      LLMOPS_ADMIN_PASSWORD: ownerPassword,
      ...environment,
    },
  });
}

/** One more start of the system in production over the same database: as a server gets it, and with a log of one's own. */
export const startAgain = (
  url: string,
  { environment = {}, log = silentLog }: { environment?: Record<string, string>; log?: Log } = {},
): Promise<Context> =>
  createContext(
    loadConfig({
      environment: {
        DATABASE_URL: url,
        DATABASE_POOL_SIZE: "4",
        LLMOPS_SECRET_KEY: secretKey,
        ...environment,
      },
    }),
    log,
  );

/** Logs in. */
export async function logIn(
  app: TestApp,
  { email = ownerEmail, password = ownerPassword } = {},
  headers: Record<string, string> = {},
): Promise<Person> {
  const { code, data } = await app.call<{ access_token: string; refresh_token: string }>(
    "POST",
    "/auth/login",
    {
      body: { email, password },
      headers,
    },
  );
  if (code !== "SUCCESS") throw new Error(`no login for ${email}: ${code}`);
  const bearer = { authorization: `Bearer ${data.access_token}` };
  const me = await app.call<{ id: string }>("GET", "/auth/me", { headers: bearer });
  return { id: me.data.id, email, password, access: data.access_token, refresh: data.refresh_token, bearer };
}

/** Makes an account, and logs in with it. */
export async function addPerson(
  app: TestApp,
  by: Person,
  role: string,
  name: string = role,
): Promise<Person> {
  const credentials = { email: `${name}@example.com`, password: `${name}'s long passphrase` };
  const made = await app.call("POST", "/account", { headers: by.bearer, body: { ...credentials, role } });
  if (made.code !== "SUCCESS") throw new Error(`no account: ${JSON.stringify(made)}`);
  return logIn(app, credentials);
}

/** An app and a key of it. */
export interface KeyedApp {
  appId: string;
  keyId: string;
  /** The whole key. */
  key: string;
  publicId: string;
  secret: string;
}

/** Makes an app with a key. */
export async function addKey(app: TestApp, by: Person, body: object = {}): Promise<KeyedApp> {
  const made = await app.call<{ id: string }>("POST", "/app", { headers: by.bearer });
  const answer = await app.call<{ id: string; key: string; public_id: string }>(
    "POST",
    `/app/${made.data.id}/key`,
    {
      headers: by.bearer,
      body,
    },
  );
  if (answer.code !== "SUCCESS") throw new Error(`no key: ${JSON.stringify(answer)}`);
  const { id: keyId, key, public_id: publicId } = answer.data;
  return { appId: made.data.id, keyId, key, publicId, secret: key.slice(`llmops-${publicId}-`.length) };
}

/** The HTTP status of `GET /v1/models` with these headers. */
export async function keyStatus(app: TestApp, headers: Record<string, string>): Promise<number> {
  return (await app.fetch(new Request("http://localhost:5000/v1/models", { headers }))).status;
}

/** A management call as a person. */
export const as = (app: TestApp, person: Person) => (method: string, path: string, body?: unknown) =>
  app.call(method, path, { headers: person.bearer, ...(body === undefined ? {} : { body }) } as CallOptions);

/** A TCP connection on which a test writes what it likes. */
export interface Line {
  socket: Socket;
  write: (bytes: string | Uint8Array) => void;
  /** All that has come so far. */
  text: () => string;
  /** Resolves with all that came, once the server has closed its side. */
  closed: Promise<string>;
  /** Resolves with all that came so far, once `done` holds of it or the server has closed. */
  until: (done: (text: string) => boolean) => Promise<string>;
}

/** A listening server over the system; everything is closed in the end. */
export interface Listening extends AsyncDisposable {
  url: string;
  port: number;
  open: () => Promise<Line>;
  /** Writes `bytes` and resolves with all that came until the server closed. */
  send: (bytes: string | Uint8Array) => Promise<string>;
}

/** Puts the system behind a real socket on a free port. */
export function listenTo(app: App, options: { idleTimeoutSeconds?: number } = {}): Listening {
  const server = startServer(app, {
    host: "127.0.0.1",
    port: 0,
    drain: createDrain(),
    log: silentLog,
    ...options,
  });
  const port = Number(new URL(server.url).port);
  const sockets = new Set<Socket>();

  const open = async (): Promise<Line> => {
    const socket = connect({ host: "127.0.0.1", port });
    sockets.add(socket);
    let text = "";
    let over = false;
    const looks = new Set<() => void>();
    const look = () => {
      for (const each of looks) each();
    };
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      look();
    });
    socket.on("error", () => {}); // A server that resets the connection has closed it too.
    const closed = new Promise<string>((resolve) =>
      socket.once("close", () => {
        over = true;
        sockets.delete(socket);
        look();
        resolve(text);
      }),
    );
    await once(socket, "connect");
    return {
      socket,
      write: (bytes) => void socket.write(bytes),
      text: () => text,
      closed,
      until: (done) =>
        new Promise((resolve) => {
          const check = () => {
            if (!over && !done(text)) return;
            looks.delete(check);
            resolve(text);
          };
          looks.add(check);
          check();
        }),
    };
  };

  return {
    url: server.url,
    port,
    open,
    async send(bytes) {
      const line = await open();
      line.write(bytes);
      return line.closed;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await server.stop();
    },
  };
}

/** The status lines of all answers in what came over a connection. */
export const statuses = (text: string): number[] =>
  [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));

/** The envelope's code of the first answer that came over a connection. */
export const codeOf = (text: string): string | undefined => /^x-llmops-code: (\S+)\r$/im.exec(text)?.[1];
