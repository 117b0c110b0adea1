/** The peer: the least that can stand between, a bare Bun.serve that passes calls on and answers back. */
const [target = ""] = process.argv.slice(2);
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const headers = { "content-type": "application/json", authorization: "Bearer sk-bench" };
    const answer = await fetch(target + pathname, { method: "POST", headers, body: await request.text() });
    return new Response(answer.body, { status: answer.status, headers: answer.headers });
  },
});
process.stdout.write(`${server.url.origin}\n`);

export {};
