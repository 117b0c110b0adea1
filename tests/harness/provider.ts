import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Tokens of one answer as the provider counts them; `reported` is whether it says so. */
export interface Produced {
  prompt: number;
  cached: number;
  cacheWrite: number;
  completion: number;
  reported: boolean;
  /** UTF-8 bytes of the answer that were really written. */
  bytes: number;
}

/** A request that the provider saw, and what it produced for it. */
export interface Call {
  dialect: "openai" | "anthropic";
  path: string;
  body: Record<string, unknown>;
  headers: Record<string, unknown>;
  produced: Produced;
  /** Breaks the connection off. */
  destroy(): void;
  /** Resolves when the connection was closed before the answer was complete. */
  aborted: Promise<void>;
}

/** One answer under way. */
export interface Exchange {
  call: Call;
  response: ServerResponse;
  stream: boolean;
  /** Writes the head of a stream. */
  begin(): void;
  /** Writes a piece of the answer's text. Resolves when the system has taken it. */
  piece(text: string): Promise<void>;
  /** Writes usage as a stream carries it before its end; `completion` is cumulative. */
  usage(completion: number, prompt?: number): void;
  /** Writes the end: the finish reason, `usage` where that is given, and the last event. */
  finish(options?: { usage?: "reported" | "zero" | "none"; last?: boolean }): void;
  /** A whole answer. */
  whole(options?: { usage?: "reported" | "zero" | "none" }): void;
}

/** Answers one request. One that returns without ending the response leaves it hanging. */
export type Play = (exchange: Exchange) => unknown;

/** The pieces of every good answer, and their tokens. */
export const pieces = ["Hello, ", "wörld ", "你好。"];
export const text = pieces.join("");
const full = { prompt: 11, cached: 4, completion: 7 };

/** A provider that speaks both dialects, and keeps a ledger of what it has produced. */
export interface Provider extends AsyncDisposable {
  /** For `OPEN_API_BASE` and for an `anthropic` provider alike. */
  readonly baseUrl: string;
  readonly calls: readonly Call[];
  /** Plays these, one request after the other; the last one stays. */
  script(...plays: Play[]): void;
  /** Resolves with the call of this number, counted from 0, once it is here. */
  call(index: number): Promise<Call>;
}

const openaiUsage = ({ prompt, cached, completion }: Produced) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached },
});
/** There, what came from the cache is no part of the input. */
const anthropicUsage = ({ prompt, cached, completion }: Produced) => ({
  input_tokens: prompt - cached,
  cache_read_input_tokens: cached,
  cache_creation_input_tokens: 0,
  output_tokens: completion,
});

function exchangeOf(call: Call, response: ServerResponse): Exchange {
  const { produced, dialect, body } = call;
  const model = body.model;
  const stream = body.stream === true;
  const write = (data: object, event?: string) =>
    new Promise<void>((resolve) =>
      response.write(`${event ? `event: ${event}\n` : ""}data: ${JSON.stringify(data)}\n\n`, () => resolve()),
    );
  const chunk = (rest: object) => ({ id: "c1", object: "chat.completion.chunk", created: 1, model, ...rest });
  const count = (usage: "reported" | "zero" | "none") => {
    if (usage === "reported") Object.assign(produced, { ...full, reported: true });
    if (usage === "zero") return { ...produced, prompt: 0, cached: 0, completion: 0 };
    return produced;
  };

  const openai: Pick<Exchange, "begin" | "piece" | "usage" | "finish" | "whole"> = {
    begin: () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      void write(
        chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] }),
      );
    },
    piece: async (content) => {
      produced.bytes += Buffer.byteLength(content);
      await write(chunk({ choices: [{ index: 0, delta: { content }, finish_reason: null }] }));
    },
    usage: (completion, prompt = full.prompt) => {
      Object.assign(produced, { prompt, cached: full.cached, completion, reported: true });
      void write(chunk({ choices: [], usage: openaiUsage(produced) }));
    },
    finish: ({ usage = "reported", last = true } = {}) => {
      void write(chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }));
      if (usage !== "none") void write(chunk({ choices: [], usage: openaiUsage(count(usage)) }));
      response.end(last ? "data: [DONE]\n\n" : "");
    },
    whole: ({ usage = "reported" } = {}) => {
      produced.bytes = Buffer.byteLength(text);
      const counted = usage === "none" ? {} : { usage: openaiUsage(count(usage)) };
      const choices = [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }];
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ id: "c1", object: "chat.completion", created: 1, model, choices, ...counted }));
    },
  };

  /** What `message_start` says, where nothing is reported: fields that are there and empty. */
  const silent = { input_tokens: 0, output_tokens: 0 };
  const anthropic: typeof openai = {
    begin: () => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const message = { id: "m1", type: "message", role: "assistant", model, content: [], stop_reason: null };
      void write(
        { type: "message_start", message: { ...message, stop_sequence: null, usage: silent } },
        "message_start",
      );
      void write(
        { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
        "content_block_start",
      );
      void write({ type: "ping" }, "ping");
    },
    piece: async (piece) => {
      produced.bytes += Buffer.byteLength(piece);
      const delta = { type: "text_delta", text: piece };
      await write({ type: "content_block_delta", index: 0, delta }, "content_block_delta");
    },
    usage: (completion, prompt = full.prompt) => {
      Object.assign(produced, { prompt, cached: full.cached, completion, reported: true });
      void write({ type: "message_delta", delta: {}, usage: anthropicUsage(produced) }, "message_delta");
    },
    finish: ({ usage = "reported", last = true } = {}) => {
      void write({ type: "content_block_stop", index: 0 }, "content_block_stop");
      const delta = { stop_reason: "end_turn", stop_sequence: null };
      const counted = usage === "none" ? {} : { usage: anthropicUsage(count(usage)) };
      void write({ type: "message_delta", delta, ...counted }, "message_delta");
      if (last) void write({ type: "message_stop" }, "message_stop");
      response.end();
    },
    whole: ({ usage = "reported" } = {}) => {
      produced.bytes = Buffer.byteLength(text);
      const counted = usage === "none" ? {} : { usage: anthropicUsage(count(usage)) };
      const message = {
        id: "m1",
        type: "message",
        role: "assistant",
        model,
        content: [{ type: "text", text }],
      };
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ ...message, stop_reason: "end_turn", stop_sequence: null, ...counted }));
    },
  };
  return { call, response, stream, ...(dialect === "openai" ? openai : anthropic) };
}

const all = async (it: Exchange) => {
  it.begin();
  for (const piece of pieces) await it.piece(piece);
};
const error = (
  it: Exchange,
  status: number,
  headers: Record<string, string> = {},
  said: object = { type: "test_error", message: `status ${status}` },
) => {
  const body = { type: "error", error: said };
  it.response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
};

/** The ways a provider can behave. Those that speak of the middle of a stream answer whole calls well. */
export const plays = {
  ok: async (it: Exchange) => {
    if (!it.stream) return it.whole();
    await all(it);
    it.finish();
  },
  noUsage: async (it: Exchange) => {
    if (!it.stream) return it.whole({ usage: "none" });
    await all(it);
    it.finish({ usage: "none" });
  },
  zeroUsage: async (it: Exchange) => {
    if (!it.stream) return it.whole({ usage: "zero" });
    await all(it);
    it.finish({ usage: "zero" });
  },
  usageInTheMiddle: async (it: Exchange) => {
    it.begin();
    await it.piece(pieces[0] ?? "");
    it.usage(full.completion);
    await it.piece(pieces[1] ?? "");
    it.finish({ usage: "none" });
  },
  usageTwice: async (it: Exchange) => {
    it.begin();
    await it.piece(pieces[0] ?? "");
    it.usage(2);
    await it.piece(pieces[1] ?? "");
    it.usage(full.completion);
    it.finish({ usage: "none" });
  },
  noLastEvent: async (it: Exchange) => {
    await all(it);
    it.finish({ last: false });
  },
  errorEvent: async (it: Exchange) => {
    it.begin();
    await it.piece(pieces[0] ?? "");
    const said = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } };
    it.response.end(`event: error\ndata: ${JSON.stringify(said)}\n\n`);
  },
  stall: async (it: Exchange) => {
    it.begin();
    await it.piece(pieces[0] ?? "");
  },
  hang: () => {},
  refuse: (it: Exchange) => it.response.destroy(),
  failing: (it: Exchange) => error(it, 500),
  busy: (it: Exchange) => error(it, 429, { "retry-after": "7" }),
  badRequest: (it: Exchange) => error(it, 400),
  /** The account has nothing left: in Anthropic's words, or in DashScope's. */
  usedUp: (it: Exchange) =>
    it.call.dialect === "anthropic"
      ? error(
          it,
          400,
          {},
          { type: "invalid_request_error", message: "Your credit balance is too low to access it." },
        )
      : error(it, 400, {}, { code: "Arrearage", type: "Arrearage", message: "Access denied" }),
  malformedJson: (it: Exchange) =>
    it.response.writeHead(200, { "content-type": "application/json" }).end('{"id":'),
  malformedEvent: async (it: Exchange) => {
    it.begin();
    await it.piece(pieces[0] ?? "");
    it.response.end("data: {not json}\n\n");
  },
  cutWhole: (it: Exchange) => {
    it.response.writeHead(200, { "content-type": "application/json", "content-length": 1000 });
    it.response.write('{"id":', () => it.response.destroy());
  },
  gigantic: async (it: Exchange) => {
    if (!it.stream) return it.whole();
    it.begin();
    await it.piece("x".repeat(8 * 1024 * 1024));
    it.finish();
  },
  endless: async (it: Exchange) => {
    it.begin();
    await it.piece(pieces[0] ?? "");
    it.response.end(`data: "${"x".repeat(17 * 1024 * 1024)}`);
  },
} satisfies Record<string, Play>;

/** Starts the provider on 127.0.0.1 and a free port. It answers well until it is told otherwise. */
export async function startProvider(): Promise<Provider> {
  const calls: Call[] = [];
  const arrivals: (() => void)[] = [];
  let script: Play[] = [plays.ok];
  const server = createServer(async (incoming, response) => {
    const aborted = new Promise<void>((resolve) => {
      response.once("close", () => response.writableEnded || resolve());
    });
    const chunks: Buffer[] = [];
    for await (const piece of incoming) chunks.push(piece);
    const { url: path = "", headers } = incoming;
    if (path.includes("/wrong/")) {
      const error = { message: `Invalid URL (${incoming.method} ${path})`, type: "invalid_request_error" };
      return response.writeHead(404, { "content-type": "application/json" }).end(JSON.stringify({ error }));
    }
    if (path.endsWith("/models")) return response.end(JSON.stringify({ data: [{ id: "model-1" }] }));
    if (path.endsWith("/count_tokens")) return response.end(JSON.stringify({ input_tokens: full.prompt }));
    const produced = { prompt: 0, cached: 0, cacheWrite: 0, completion: 0, reported: false, bytes: 0 };
    const dialect = path.endsWith("/messages") ? ("anthropic" as const) : ("openai" as const);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    const destroy = () => void response.destroy();
    const call: Call = { dialect, path, headers, body, produced, aborted, destroy };
    calls.push(call);
    for (const arrived of arrivals.splice(0)) arrived();
    if (path.endsWith("/embeddings")) {
      Object.assign(produced, { prompt: 3, reported: true });
      const data = [{ object: "embedding", index: 0, embedding: [0.1, -0.2] }];
      const usage = { prompt_tokens: 3, total_tokens: 3 };
      response.setHeader("content-type", "application/json");
      return response.end(JSON.stringify({ object: "list", model: body.model, data, usage }));
    }
    const play = script.length > 1 ? script.shift() : script[0];
    await play?.(exchangeOf(call, response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    calls,
    script: (...next) => {
      script = next;
    },
    async call(index) {
      for (;;) {
        const call = calls[index];
        if (call) return call;
        await new Promise<void>((resolve) => arrivals.push(resolve));
      }
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
