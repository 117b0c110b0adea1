import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request that the upstream saw. */
export interface SeenRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** The parsed JSON body, or `{}` without one. */
  body: Record<string, unknown>;
  /** Resolves when the caller closed the connection before its answer was complete; never otherwise. */
  aborted: Promise<void>;
}

/** Answers one request. One that returns without ending the response leaves it hanging. */
export type Behaviour = (exchange: { request: SeenRequest; response: ServerResponse }) => unknown;

/** What the upstream counts for every answer; 4 of the prompt's tokens were cached. */
export const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };

/** What the upstream answers: Chinese where the question holds a Chinese character, else English. */
export const texts = { zh: "你好,我是测试模型🙂。", en: "Hello, this is the test model 🙂." };

const json = (response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

const contentFor = ({ body }: SeenRequest) =>
  /\p{Script=Han}/u.test(JSON.stringify((body.messages as unknown[] | undefined)?.at(-1)))
    ? texts.zh
    : texts.en;

const chunk = ({ body }: SeenRequest, choice: object | undefined, rest: object = {}) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: body.model,
  choices: choice ? [{ index: 0, delta: {}, finish_reason: null, ...choice }] : [],
  ...rest,
});

/** Writes server-sent events; a string goes out as it is. */
const send = (response: ServerResponse, ...events: (object | string)[]) => {
  if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  for (const event of events) {
    response.write(typeof event === "string" ? event : `data: ${JSON.stringify(event)}\n\n`);
  }
};

const deltas = (request: SeenRequest) =>
  (contentFor(request).match(/.{1,3}/gsu) ?? []).map((content) => chunk(request, { delta: { content } }));

const done = "data: [DONE]\n\n";
const halves = (request: SeenRequest) => {
  const all = deltas(request);
  return { first: all.slice(0, 2), second: all.slice(2) };
};

/** Where a streamed answer carries its usage. */
export type UsagePlace = "own-chunk" | "choice" | "top-level" | "cumulative" | "none";

const endings: Record<UsagePlace, (request: SeenRequest) => object[]> = {
  "own-chunk": (request) => [
    chunk(request, { finish_reason: "stop" }, { usage: null }),
    chunk(request, undefined, { usage: { ...usage, prompt_tokens_details: { cached_tokens: 4 } } }),
  ],
  choice: (request) => [chunk(request, { finish_reason: "stop", usage: { ...usage, cached_tokens: 4 } })],
  "top-level": (request) => [
    chunk(
      request,
      { finish_reason: "stop" },
      { usage: { ...usage, prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 7 } },
    ),
  ],
  cumulative: (request) => [
    chunk(
      request,
      { delta: { content: "" } },
      { usage: { ...usage, completion_tokens: 3, total_tokens: 14 } },
    ),
    chunk(request, { finish_reason: "stop" }, { usage: { ...usage, cached_tokens: 4 } }),
  ],
  none: (request) => [chunk(request, { finish_reason: "stop" })],
};

/** The ways an upstream can behave. */
export const behaviours = {
  /** A good answer, streamed where that was asked for; `usage` says where a stream carries it. */
  ok:
    ({ usage: place = "own-chunk" }: { usage?: UsagePlace } = {}): Behaviour =>
    ({ request, response }) => {
      if (request.body.stream !== true)
        return behaviours.json({ content: contentFor(request) })({ request, response });
      send(response, chunk(request, { delta: { role: "assistant", content: "" } }), ...deltas(request));
      send(response, ...endings[place](request), done);
      response.end();
    },
  /** A whole answer with this message; `body` replaces or adds fields beside the choices. */
  json:
    (message: object, body: object = {}): Behaviour =>
    ({ request, response }) =>
      json(response, {
        id: "chatcmpl-1",
        object: "chat.completion",
        created: 1,
        model: request.body.model,
        choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: "stop" }],
        usage: { ...usage, prompt_tokens_details: { cached_tokens: 4 } },
        ...body,
      }),
  /** These events and nothing else; a string is written as it is. */
  events:
    (...events: (object | string)[]): Behaviour =>
    ({ response }) => {
      send(response, ...events);
      response.end();
    },
  /** An error as OpenAI words it, or with any `body`. */
  status:
    (
      status: number,
      { body, headers }: { body?: unknown; headers?: Record<string, string> } = {},
    ): Behaviour =>
    ({ response }) =>
      json(response, body ?? { error: { message: `status ${status}`, type: "test_error" } }, status, headers),
  /** The model does not exist, in Moonshot's words. */
  noModel:
    (): Behaviour =>
    ({ request, response }) => {
      const message = `Not found the model ${request.body.model} or Permission denied`;
      json(response, { error: { message, type: "resource_not_found_error" } }, 404);
    },
  /** A text of any type, such as a page. */
  text:
    (
      text: string,
      { type = "text/html", status = 200 }: { type?: string; status?: number } = {},
    ): Behaviour =>
    ({ response }) =>
      response.writeHead(status, { "content-type": type }).end(text),
  /** Takes the request and never answers. */
  hang: (): Behaviour => () => {},
  /** Answers with headers and never with a body. */
  hangAfterHeaders:
    (): Behaviour =>
    ({ request, response }) => {
      const type = request.body.stream === true ? "text/event-stream" : "application/json";
      response.writeHead(200, { "content-type": type }).flushHeaders();
    },
  /** Begins its stream and then falls silent. */
  hangMidStream:
    (): Behaviour =>
    ({ request, response }) =>
      send(response, ...halves(request).first),
  /** Destroys the connection before it answers. */
  reset:
    (): Behaviour =>
    ({ response }) =>
      response.destroy(),
  /** Destroys the connection in the middle of its answer. The caller may see the pieces before or only the end. */
  cut:
    (): Behaviour =>
    ({ request, response }) => {
      const streamed = request.body.stream === true;
      if (streamed) send(response, ...halves(request).first);
      else response.writeHead(200, { "content-type": "application/json", "content-length": 1000 });
      // What was written arrives first: nothing unread is left on this side, so that closing sends no reset.
      response.write(streamed ? ": cut\n\n" : '{"id":', () => response.destroy());
    },
  /** Ends its stream in good order, but without a finish reason. */
  endEarly:
    (): Behaviour =>
    ({ request, response }) => {
      send(response, ...halves(request).first);
      response.end();
    },
  /** A good stream that pauses in the middle and sends `: keep-alive` comments, `times` times every `everyMs`. */
  drip:
    ({ times, everyMs }: { times: number; everyMs: number }): Behaviour =>
    async ({ request, response }) => {
      const { first, second } = halves(request);
      send(response, ...first);
      for (let sent = 0; sent < times; sent++) {
        await Bun.sleep(everyMs);
        send(response, ": keep-alive\n\n");
      }
      send(response, ...second, ...endings.choice(request), done);
      response.end();
    },
} satisfies Record<string, (...options: never[]) => Behaviour>;

/** A running upstream. Disposing it closes every connection. */
export interface Upstream extends AsyncDisposable {
  /** For `OPEN_API_BASE`, ending in `/v1`. */
  readonly baseUrl: string;
  /** Every request so far, in order. */
  readonly requests: readonly SeenRequest[];
  /** The model of every chat request so far, in order. */
  readonly asked: readonly unknown[];
  /** How many TCP connections were opened. */
  readonly connections: number;
  /** Plays these for chat requests to `model`, one after the other; the last one stays. `*` is any other model. */
  script(model: string, ...plays: Behaviour[]): void;
  /** What `GET /models` answers from now on. */
  scriptModels(play: Behaviour): void;
  /** Resolves with the request of this number, counted from 0, once it is here. */
  request(index: number): Promise<SeenRequest>;
}

const readBody = async (incoming: IncomingMessage): Promise<Record<string, unknown>> => {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece);
  return pieces.length === 0 ? {} : JSON.parse(Buffer.concat(pieces).toString());
};

/**
 * Starts an OpenAI-compatible provider on 127.0.0.1 and a free port. It knows every model and answers well until
 * {@link Upstream.script} says otherwise; `models` is what `GET /models` lists.
 */
export const startUpstream = async ({
  models = ["kimi-k2.5"],
}: {
  models?: string[];
} = {}): Promise<Upstream> => {
  const scripts = new Map<string, Behaviour[]>([["*", [behaviours.ok()]]]);
  const requests: SeenRequest[] = [];
  const arrivals: (() => void)[] = [];
  let connections = 0;
  let listed: Behaviour = ({ response }) =>
    json(response, { object: "list", data: models.map((id) => ({ id, object: "model", owned_by: "test" })) });

  const next = (model: string): Behaviour => {
    const plays = scripts.get(model) ?? scripts.get("*") ?? [];
    return (plays.length > 1 ? plays.shift() : plays[0]) ?? behaviours.ok();
  };

  const playFor = ({ method, path, body }: SeenRequest): Behaviour => {
    if (method === "GET" && path === "/v1/models") return listed;
    if (method === "POST" && path === "/v1/chat/completions") return next(String(body.model));
    return behaviours.text("<html><h1>404 Not Found</h1></html>", { status: 404 });
  };

  const server = createServer(async (incoming, response) => {
    const aborted = new Promise<void>((resolve) => {
      response.once("close", () => response.writableEnded || resolve());
    });
    const body = await readBody(incoming);
    const { method = "", url: path = "", headers } = incoming;
    const request = { method, path, headers, body, aborted };
    requests.push(request);
    for (const arrived of arrivals.splice(0)) arrived();
    await playFor(request)({ request, response });
  });
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests,
    get asked() {
      return requests.filter(({ method }) => method === "POST").map(({ body }) => body.model);
    },
    get connections() {
      return connections;
    },
    script: (model, ...plays) => scripts.set(model, plays),
    scriptModels: (play) => {
      listed = play;
    },
    request: async (index) => {
      for (;;) {
        const seen = requests[index];
        if (seen) return seen;
        await new Promise<void>((resolve) => arrivals.push(resolve));
      }
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
};
