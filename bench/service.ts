import { type Child, start } from "./process.ts";

/** What is asked: a chat completion of some 700 bytes. */
export const question = {
  model: "bench",
  messages: [
    { role: "system", content: "You are a helpful assistant. ".repeat(10) },
    { role: "user", content: "Tell me about foxes and dogs, please. ".repeat(10) },
  ],
};
export const completionPath = "/v1/chat/completions";

/** Starts the service as in production, in front of `upstream`; `headers` are those of an app key. */
export async function startService(
  command: readonly string[],
  { folder, upstream, env: more = {} }: { folder: string; upstream: string; env?: Record<string, string> },
): Promise<{ url: string; headers: Record<string, string>; child: Child }> {
  const owner = { email: "bench@example.com", password: "correct horse battery staple" };
  const env = {
    OPEN_API_BASE: `${upstream}/v1`,
    OPEN_API_KEY: "sk-bench",
    OPEN_API_MODEL: question.model,
    LLMOPS_ADMIN_EMAIL: owner.email,
    LLMOPS_ADMIN_PASSWORD: owner.password,
    ...more,
  };
  const child = await start([...command, "serve", "--port", "0"], { folder, env });
  let token = "";
  const post = async (to: string, body: object) => {
    const headers = {
      "content-type": "application/json",
      ...(token && { authorization: `Bearer ${token}` }),
    };
    const answer = await fetch(child.url + to, { method: "POST", headers, body: JSON.stringify(body) });
    return ((await answer.json()) as { data: { id: string; key: string; access_token: string } }).data;
  };
  token = (await post("/auth/login", owner)).access_token;
  const { id } = await post("/app", { config: { model: question.model } });
  const { key } = await post(`/app/${id}/key`, {});
  return { url: child.url, headers: { authorization: `Bearer ${key}` }, child };
}
