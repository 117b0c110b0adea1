import { type Content, content } from "./swagger.ts";

const page = `<!doctype html>
<html lang="zh">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="referrer" content="no-referrer">
    <title>llmops</title>
    <link rel="stylesheet" href="/setup/setup.css">
    <script src="/setup/setup.js" defer></script>
  </head>
  <body>
    <main>
      <h1>llmops</h1>
      <p>创建第一位所有者 · Make the first owner</p>
      <form id="form">
        <label>邮箱 · E-mail <input name="email" type="email" autocomplete="username" maxlength="254" required></label>
        <label>密码 · Password <input name="password" type="password" autocomplete="new-password" minlength="8" maxlength="256" required></label>
        <button>创建 · Create</button>
      </form>
      <p id="outcome" role="status"></p>
      <noscript>此页面需要 JavaScript · This page needs JavaScript</noscript>
    </main>
  </body>
</html>
`;

/** The token stands behind the `#` of the link, which browsers send to nobody; it also leaves the address bar. */
const script = `const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const form = document.getElementById("form");
const outcome = document.getElementById("outcome");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email, password } = Object.fromEntries(new FormData(form));
  const response = await fetch("/auth/setup", {
    method: "POST",
    headers: { "content-type": "application/json", "accept-language": navigator.language },
    body: JSON.stringify({ token: token || "-", email, password }),
  }).catch(() => undefined);
  const answer = await response?.json();
  const details = answer?.code === "VALIDATE_ERROR" ? Object.values(answer.data).flat() : [];
  outcome.textContent = answer ? [answer.message, ...details].join(": ") : "无法连接 · No connection";
  if (answer?.code === "SUCCESS") form.hidden = true;
});
`;

const styles = `body { font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0 1rem; }
form { display: grid; gap: 1rem; }
label { display: grid; gap: 0.25rem; }
input, button { font: inherit; padding: 0.5rem; }
`;

/** The page behind the setup link, and what it loads. */
export const createSetup = (): Record<"page" | "script" | "styles", Content> => ({
  page: content("text/html; charset=utf-8", async () => page),
  script: content("text/javascript; charset=utf-8", async () => script),
  styles: content("text/css; charset=utf-8", async () => styles),
});
