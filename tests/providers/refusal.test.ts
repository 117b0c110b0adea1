import { describe, expect, test } from "bun:test";
import { createBreaker } from "../../src/gateway/breaker.ts";
import { retryDelayMs } from "../../src/gateway/retry.ts";
import { refusalError } from "../../src/providers/refusal.ts";

const refuse = (status: number, body: unknown, model = "kimi-k2.5") =>
  refusalError(
    { status, headers: new Headers(), body: typeof body === "string" ? body : JSON.stringify(body) },
    { model, apiKey: "sk-secret" },
  );

describe("a route that is not there", () => {
  test.each([
    [
      { error: { message: "Invalid URL (POST /v1/chat/completions)", type: "invalid_request_error" } },
      "gpt-4o",
    ],
    // The path has the model's name in it, or the name is of no length where only a list was asked for.
    [{ error: { message: "Invalid URL (POST /v1/chat/completions)" } }, "chat"],
    [{ error: { message: "Invalid URL (GET /v1/models)" } }, ""],
    [{ error: { message: "", type: "resource_not_found_error" } }, ""],
    [{ error: "url.not_found", message: "没找到对象", code: 5 }, "kimi-k2.5"],
    [{ detail: "Not Found" }, "qwen"],
    ["404 page not found", ""],
    ["<html><h1>404 gpt-4o Not Found</h1></html>", "gpt-4o"],
    [{ type: "error", error: { type: "not_found_error", message: "Not Found" } }, "claude-opus-4-8"],
  ])("is no missing model: %j, %s", (body, model) => {
    expect(refuse(404, body, model)).toMatchObject({ reason: "not_found", status: 502 });
  });
});

describe("a model that does not exist", () => {
  test.each([
    [404, { error: { message: "The model `gpt-9` does not exist", code: "model_not_found" } }, "gpt-9"],
    [403, { error: { message: "Project lacks access", code: "model_not_found" } }, "gpt-9"],
    [404, { error: { message: "Not found the model x", type: "resource_not_found_error" } }, "kimi-k9"],
    [404, { type: "error", error: { type: "not_found_error", message: "model: claude-9" } }, "claude-9"],
    [404, { object: "error", message: "The model `Qwen/Qwen3` does not exist." }, "Qwen/Qwen3"],
    [404, { error: { message: 'model "llama3:8b" not found, try pulling it first' } }, "llama3:8b"],
    [404, { error: { message: "models/gemini-9 is not found for API version v1main" } }, "gemini-9"],
    [400, { error: { message: "Model Not Exist", type: "invalid_request_error" } }, "deepseek-9"],
  ])("is told as one: %i %j", (status, body, model) => {
    expect(refuse(status, body, model)).toMatchObject({ reason: "model_not_found", status: 404 });
  });
});

describe("an account that is used up", () => {
  const balance =
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade.";
  const cases: [number, unknown][] = [
    [400, { type: "error", error: { type: "invalid_request_error", message: balance } }],
    [
      400,
      {
        error: {
          code: "Arrearage",
          type: "Arrearage",
          message: "Access denied, please make sure your account is in good standing.",
        },
      },
    ],
    [400, { code: "Arrearage", message: "Access denied", request_id: "x" }],
    [400, { error: { code: "billing_hard_limit_reached", message: "Billing hard limit has been reached" } }],
    [
      402,
      { error: { message: "Insufficient Balance", type: "unknown_error", code: "invalid_request_error" } },
    ],
    [402, "Payment Required"],
    [403, { code: 30001, message: "Sorry, your account balance is insufficient", data: null }],
    [403, { error: { code: "AccountOverdueError", message: "the account has an overdue balance" } }],
    [
      429,
      {
        error: {
          code: "insufficient_quota",
          type: "insufficient_quota",
          message: "You exceeded your current quota",
        },
      },
    ],
    [429, { error: { type: "exceeded_current_quota_error", message: "Your account is suspended" } }],
    [429, { error: { code: "1113", message: "您的账户已欠费,请充值后重试。" } }],
  ];

  test.each(cases)("is the provider's failure and not its caller's: %i %j", (status, body) => {
    const error = refuse(status, body);
    expect(error).toMatchObject({ reason: "no_credit", status: 502, detail: undefined });
    // Asking again mends nothing.
    expect(retryDelayMs(error, 0)).toBeUndefined();
  });

  test("counts against its target", () => {
    const breaker = createBreaker({ now: () => 0 });
    for (let i = 0; i < 5; i++) breaker.failed(refuse(400, cases[0]?.[1]), breaker.enter());
    expect(breaker.waitMs()).toBe(10_000);
  });

  test.each([
    [400, { error: { message: "messages: credit card numbers are not allowed" } }, "bad_request"],
    [400, { error: { code: "invalid_parameter_error", message: "Arrearage is a word" } }, "bad_request"],
    [429, { error: { code: "rate_limit_exceeded", message: "Rate limit reached" } }, "rate_limited"],
    [403, { error: { message: "Forbidden" } }, "unauthorized"],
  ])("is not what other refusals speak of: %i %j", (status, body, reason) => {
    expect(refuse(status, body).reason).toBe(reason as never);
  });
});
