/**
 * A process that calls a service without a pause, each call with an id of its own that its provider sees too: `bun
 * tests/harness/caller.ts URL KEY CONCURRENCY`. It goes on while nobody answers, and at SIGTERM finishes what it has begun.
 */
const [url = "", key = "", concurrency = "8"] = process.argv.slice(2);
const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };

async function call(stream: boolean): Promise<void> {
  const messages = [{ role: "user", content: "hi" }];
  const body = JSON.stringify({ model: "gpt", messages, stream, user: crypto.randomUUID() });
  const answer = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body });
  await answer.text();
}

let ending = false;
process.once("SIGTERM", () => {
  ending = true;
});

for (let worker = 0; worker < Number(concurrency); worker++) {
  void (async () => {
    for (let turn = 0; !ending; turn++) await call((worker + turn) % 2 === 0).catch(() => Bun.sleep(5));
  })();
}

export {};
