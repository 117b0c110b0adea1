import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import type { Uuid } from "../id.ts";
import type { RequestDetail, RequestQuery, RequestRow, RequestService } from "../services/request.ts";
import { download, type ExportFormat } from "./download.ts";
import { type PageQuery, toPage, toWirePage } from "./page.ts";

interface Needs {
  requests: RequestService;
}

/** A call as callers see it in a list. */
export type WireRequest = Omit<RequestRow, "created_at"> & { created_at: string };

/** A call with everything that is kept of it; question and answer are JSON values, `null` where nothing is kept. */
export type WireRequestDetail = WireRequest &
  Pick<RequestDetail, "attempts" | "charges" | "refusal"> & {
    question: unknown;
    answer: unknown;
    truncated: boolean;
  };

/** What a caller may look for, as the query has it. */
export interface RequestFilterQuery {
  app_id?: Uuid;
  key_id?: Uuid;
  model?: string;
  provider?: string;
  status?: RequestRow["status"];
  api?: string;
  user?: string;
  session?: string;
  from?: string;
  to?: string;
  cost_min?: string;
  currency?: string;
  duration_ms_min?: string;
  ttft_ms_min?: string;
  text?: string;
}

const toWireRequest = (row: RequestRow): WireRequest => ({
  ...row,
  created_at: row.created_at.toISOString(),
});

const parsed = (text: string | null): unknown => (text === null ? null : JSON.parse(text));

const toWireDetail = ({ question, answer, truncated, ...row }: RequestDetail): WireRequestDetail => ({
  ...row,
  created_at: row.created_at.toISOString(),
  question: parsed(question),
  answer: parsed(answer),
  truncated: truncated ?? false,
});

const toQuery = (it: RequestFilterQuery & PageQuery): RequestQuery => ({
  ...toPage(it),
  ...(it.app_id !== undefined && { appId: it.app_id }),
  ...(it.key_id !== undefined && { keyId: it.key_id }),
  ...(it.model !== undefined && { model: it.model }),
  ...(it.provider !== undefined && { provider: it.provider }),
  ...(it.status !== undefined && { status: it.status }),
  ...(it.api !== undefined && { api: it.api }),
  ...(it.user !== undefined && { user: it.user }),
  ...(it.session !== undefined && { session: it.session }),
  ...(it.from !== undefined && { from: new Date(it.from) }),
  ...(it.to !== undefined && { to: new Date(it.to) }),
  ...(it.cost_min !== undefined && { costMin: it.cost_min }),
  ...(it.currency !== undefined && { currency: it.currency }),
  ...(it.duration_ms_min !== undefined && { durationMsMin: Number(it.duration_ms_min) }),
  ...(it.ttft_ms_min !== undefined && { ttftMsMin: Number(it.ttft_ms_min) }),
  ...(it.text !== undefined && { text: it.text }),
});

/** `GET /request` */
export async function listRequests(
  { requests }: Needs,
  { principal, query }: { principal: Principal; query: RequestFilterQuery & PageQuery },
): Promise<Envelope<{ items: WireRequest[]; next_cursor: Uuid | null }>> {
  return success("", toWirePage(await requests.list(principal, toQuery(query)), toWireRequest));
}

/** `GET /request/:id` */
export async function getRequest(
  { requests }: Needs,
  { principal, id }: { principal: Principal; id: Uuid },
): Promise<Envelope<WireRequestDetail>> {
  return success("", toWireDetail(await requests.get(principal, id)));
}

/** Calls that are read at once for a download. */
const batch = 500;

/** `GET /request/export`: everything that matches, page by page as it is read. The first page is there before the answer. */
export async function exportRequests(
  { requests }: Needs,
  { principal, query, format }: { principal: Principal; query: RequestFilterQuery; format: ExportFormat },
): Promise<Response> {
  const filter = { ...toQuery(query), limit: batch };
  const first = await requests.list(principal, filter);
  const pages = async function* () {
    for (let page = first; ; ) {
      yield page.items.map(toWireRequest);
      if (page.nextCursor === null) return;
      page = await requests.list(principal, { ...filter, before: page.nextCursor });
    }
  };
  return download(pages(), { format, name: "requests", columns: requestColumns });
}

/** The columns of the table that is downloaded, in order. */
const requestColumns = [
  "id",
  "created_at",
  "app_id",
  "app_version",
  "key_id",
  "account_id",
  "end_user",
  "session",
  "api",
  "model",
  "model_used",
  "provider",
  "status",
  "status_code",
  "error_code",
  "finish_reason",
  "stream",
  "cache_hit",
  "ttft_ms",
  "duration_ms",
  "prompt_tokens",
  "cached_tokens",
  "cache_write_tokens",
  "completion_tokens",
  "reasoning_tokens",
  "usage_source",
  "cost",
  "currency",
  "ip_prefix",
] as const satisfies readonly (keyof WireRequest)[];
