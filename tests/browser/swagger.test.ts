import { expect } from "bun:test";
import { chromium as browsers, type Locator, type Page } from "playwright-core";
import { startTestApp } from "../harness/app.ts";
import { chromium, testInBrowser } from "../harness/require.ts";

/** No name resolves and nothing is asked of anybody but 127.0.0.1. */
const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];

/** Longest wait for anything on the page, in milliseconds. */
const patience = 20_000;

/** The system on a real socket, and a page in a real browser that notes what it asks for and complains about. */
async function openPage() {
  await using opening = new AsyncDisposableStack();
  const app = opening.use(await startTestApp());
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => app.fetch(request) });
  opening.defer(() => server.stop(true));
  const browser = await browsers.launch({ executablePath: chromium ?? "", args: flags });
  opening.defer(() => browser.close());
  const page = await browser.newPage({ locale: "zh-CN", viewport: { width: 1280, height: 1600 } });
  page.setDefaultTimeout(patience);

  const origins = new Set<string>();
  const complaints: string[] = [];
  page.on("request", (request) => origins.add(new URL(request.url()).origin));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  const opened = opening.move();
  return {
    url: `http://127.0.0.1:${server.port}`,
    page,
    origins,
    complaints,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Unfolds an operation and makes its example call, as a reader does; answers with what the page then shows. */
async function tryOut(page: Page, operation: string): Promise<string> {
  const block: Locator = page.locator(`#operations-${operation}`);
  await block.locator(".opblock-summary-control").click();
  await block.getByRole("button", { name: "Try it out" }).click();
  await block.getByRole("button", { name: "Execute" }).click();
  return (await block.locator(".live-responses-table code.language-json").first().textContent()) ?? "";
}

testInBrowser(
  "Swagger UI shows every operation, makes calls with `Try it out`, and asks no other host for anything",
  async () => {
    await using opened = await openPage();
    const { page, url, origins, complaints } = opened;
    await page.goto(`${url}/swagger`);
    await page.locator(".opblock").first().waitFor();
    expect(await page.title()).toBe("llmops API");
    const { paths } = (await (await fetch(`${url}/swagger/json`)).json()) as {
      paths: Record<string, object>;
    };
    const operations = Object.values(paths).flatMap((methods) => Object.keys(methods));
    expect(await page.locator(".opblock").count()).toBe(operations.length);

    const pong = await tryOut(page, "health-ping");
    expect(JSON.parse(pong)).toEqual({ code: "SUCCESS", message: "pong", data: {} });

    const answer = JSON.parse(await tryOut(page, "completion-complete"));
    expect(answer).toMatchObject({ code: "SUCCESS", data: { model: "echo", finish_reason: "stop" } });
    expect(answer.data.content).toContain("你好,请介绍一下你自己");

    expect([...origins].filter((origin) => origin !== "null")).toEqual([url]);
    expect(complaints).toEqual([]);
  },
  60_000,
);
