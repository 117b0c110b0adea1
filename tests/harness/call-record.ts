import { newId } from "../../src/id.ts";
import type { CallRecord } from "../../src/metering/record.ts";
import { idAt } from "../../src/services/request.ts";

/** A call that went well at a time, with an id of that time. */
export function callAt(time: Date, fields: Partial<CallRecord> = {}): CallRecord {
  return {
    id: idAt(time).slice(0, 13) + newId().slice(13),
    created_at: time.toISOString(),
    app_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
    app_version: 1,
    key_id: null,
    account_id: null,
    end_user: null,
    session: null,
    api: "chat",
    model: "app",
    model_used: "gpt",
    provider: "default",
    status: "ok",
    status_code: 200,
    error_code: null,
    finish_reason: "stop",
    stream: false,
    cache_hit: false,
    ttft_ms: 5,
    duration_ms: 9,
    prompt_tokens: 1,
    cached_tokens: 0,
    cache_write_tokens: 0,
    completion_tokens: 1,
    reasoning_tokens: 0,
    usage_source: "provider",
    cost: "0.5",
    currency: "CNY",
    ip_prefix: "192.0.2.0/24",
    attempts: [],
    ...fields,
  };
}
