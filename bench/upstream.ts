/**
 * A provider at its fastest: fixed answers, whole or as a stream of `pieces` chunks, which go out together as far as the runtime
 * has them do, or each in a turn of its own. `bun bench/upstream.ts [pieces] [together|apart]`.
 */
const pieces = Number(process.argv[2] ?? 20);
const apart = process.argv[3] === "apart";

const head = { id: "chatcmpl-bench", created: 1, model: "bench" };
const usage = { prompt_tokens: 40, completion_tokens: 60, total_tokens: 100 };
const text = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过了懒狗。".repeat(4);
const whole = JSON.stringify({
  ...head,
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
  usage,
});
const chunk = (rest: object) =>
  `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", ...rest })}\n\n`;
const encoder = new TextEncoder();
const stream = [
  ...Array.from({ length: pieces }, (_, index) =>
    chunk({ choices: [{ index: 0, delta: { content: `word ${index} ` }, finish_reason: null }] }),
  ),
  chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }),
  chunk({ choices: [], usage }),
  "data: [DONE]\n\n",
].map((each) => encoder.encode(each));

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const body = await request.text();
    if (!body.includes('"stream":true'))
      return new Response(whole, { headers: { "content-type": "application/json" } });
    let at = 0;
    const step = (controller: ReadableStreamDefaultController<Uint8Array>) => {
      const next = stream[at++];
      if (next) controller.enqueue(next);
      else controller.close();
    };
    const answer = new ReadableStream<Uint8Array>({
      pull: apart
        ? async (controller) => {
            await new Promise<void>((resolve) => setImmediate(resolve));
            step(controller);
          }
        : step,
    });
    return new Response(answer, { headers: { "content-type": "text/event-stream" } });
  },
});
process.stdout.write(`${server.url.origin}\n`);

export {};
