import { nilUuid } from "../id.ts";
import { type UsageRow, usageCounts } from "../sql/usage-rollup.ts";
import { bucketOf, histogramOf } from "./histogram.ts";
import { type Decimal, formatDecimal, parseDecimal, rescale } from "./money.ts";
import type { CallRecord } from "./record.ts";

/** A row that grows: what is exact or many stays as it is until all calls are there. */
interface Sums {
  row: UsageRow;
  cost: Decimal;
  /** The bucket of each call. */
  ttft: number[];
  duration: number[];
}

/** A grain: how much of an ISO time tells it, and what makes the start of it whole. */
const grains = {
  hour: { length: 13, rest: ":00:00.000Z" },
  day: { length: 10, rest: "T00:00:00.000Z" },
  month: { length: 7, rest: "-01T00:00:00.000Z" },
} as const;

type Spot = Pick<UsageRow, "cut" | "app_id" | "key_id" | "model" | "provider" | "end_user" | "currency">;

const emptySums = (hour: string, spot: Spot): Sums => ({
  row: {
    grain: "hour",
    starts_at: hour + grains.hour.rest,
    cut: spot.cut,
    app_id: spot.app_id,
    key_id: spot.key_id,
    model: spot.model,
    provider: spot.provider,
    end_user: spot.end_user,
    currency: spot.currency,
    calls: 0,
    errors: 0,
    cache_hits: 0,
    estimated_calls: 0,
    unpriced_calls: 0,
    prompt_tokens: 0,
    cached_tokens: 0,
    cache_write_tokens: 0,
    completion_tokens: 0,
    reasoning_tokens: 0,
    cost: "0",
    ttft: "0",
    duration: "0",
  },
  cost: { units: 0n, scale: 0 },
  ttft: [],
  duration: [],
});

/** Stands between the parts of a key: no text of the database can hold it. */
const nul = "\0";

/** The call's costs by currency: its own, and those of attempts in another. */
export function costsOf({
  attempts,
  currency,
  cost,
}: Pick<CallRecord, "attempts" | "currency" | "cost">): Map<string, string[]> {
  const costs = new Map<string, string[]>([[currency ?? "", cost === null ? [] : [cost]]]);
  for (const attempt of attempts) {
    if (attempt.currency === null || attempt.currency === currency || attempt.cost === null) continue;
    costs.set(attempt.currency, [...(costs.get(attempt.currency) ?? []), attempt.cost]);
  }
  return costs;
}

const plus = (a: Decimal, b: Decimal): Decimal => {
  if (a.scale === b.scale) return { units: a.units + b.units, scale: a.scale };
  const scale = Math.max(a.scale, b.scale);
  return { units: rescale(a, scale).units + rescale(b, scale).units, scale };
};

const parsed = (cost: string, sign: 1 | -1): Decimal => {
  const { units, scale } = parseDecimal(cost);
  return { units: sign < 0 ? -units : units, scale };
};

/** Calls as the sums of their hours, days and months, and of those of apps by the day; with `sign` -1 as what takes them out again. */
export class RollUp {
  readonly #sign: 1 | -1;
  readonly #hours = new Map<string, Sums>();
  /** Where the last call went: most calls of a moment are much alike. */
  #last: Sums | undefined;
  #lastHour = "";

  constructor(sign: 1 | -1 = 1) {
    this.#sign = sign;
  }

  add(record: CallRecord): void {
    const sign = this.#sign;
    const currency = record.currency ?? "";
    const service = this.#service(record, currency);
    const user = this.#user(record, currency);
    const cost = record.cost === null ? undefined : parsed(record.cost, sign);
    const ttft = record.ttft_ms === null ? undefined : bucketOf(record.ttft_ms);
    const duration = bucketOf(record.duration_ms);
    addCall(service, { record, cost, ttft, duration, sign });
    if (user) addCall(user, { record, cost, ttft, duration, sign });
    this.#addOthers(record);
  }

  /** What attempts cost in another currency; no further call. */
  #addOthers(record: CallRecord): void {
    for (const attempt of record.attempts) {
      if (attempt.currency === null || attempt.currency === record.currency || attempt.cost === null)
        continue;
      const other = parsed(attempt.cost, this.#sign);
      for (const sums of [this.#service(record, attempt.currency), this.#user(record, attempt.currency)]) {
        if (sums) sums.cost = plus(sums.cost, other);
      }
    }
  }

  /** The call for the service: by app, key, model and provider. */
  #service(record: CallRecord, currency: string): Sums {
    const { created_at, app_id } = record;
    const key_id = record.key_id ?? nilUuid;
    const model = record.model_used ?? record.model;
    const provider = record.provider ?? "";
    const last = this.#last;
    if (
      last?.row.app_id === app_id &&
      last.row.key_id === key_id &&
      last.row.model === model &&
      last.row.provider === provider &&
      last.row.currency === currency &&
      created_at.startsWith(this.#lastHour)
    )
      return last;
    const hour = created_at.slice(0, grains.hour.length);
    const key = `${hour}service${nul}${app_id}${key_id}${model}${nul}${provider}${nul}${currency}`;
    const spot = { cut: "service", app_id, key_id, model, provider, end_user: "", currency } as const;
    const sums = this.#at(key, hour, spot);
    this.#last = sums;
    this.#lastHour = hour;
    return sums;
  }

  /** The call for people: by app and end user. */
  #user({ created_at, app_id, end_user }: CallRecord, currency: string): Sums | undefined {
    if (end_user === null) return undefined;
    const hour = created_at.slice(0, grains.hour.length);
    const key = `${hour}user${nul}${app_id}${end_user}${nul}${currency}`;
    const spot = {
      cut: "user",
      app_id,
      key_id: nilUuid,
      model: "",
      provider: "",
      end_user,
      currency,
    } as const;
    return this.#at(key, hour, spot);
  }

  #at(key: string, hour: string, spot: Spot): Sums {
    let sums = this.#hours.get(key);
    if (!sums) {
      sums = emptySums(hour, spot);
      this.#hours.set(key, sums);
    }
    return sums;
  }

  /** The rows. Sorted by key, so that processes that write at the same time lock them in the same order. */
  rows(): UsageRow[] {
    const sign = this.#sign;
    for (const sums of this.#hours.values()) finish(sums, sign);
    const byHour = sorted(this.#hours);
    const byDay = coarser(byHour, ["hour", "day"], sign);
    const ofApps = withoutKeys(byDay, sign);
    const byMonth = coarser(byDay, ["day", "month"], sign);
    return [byHour, byDay, ofApps, byMonth].flatMap((all) => all.map(([, { row }]) => row));
  }
}

/** The rows of these calls; see {@link RollUp}. */
export function rollUp(records: readonly CallRecord[], sign: 1 | -1 = 1): UsageRow[] {
  const all = new RollUp(sign);
  for (const record of records) all.add(record);
  return all.rows();
}

/** A call as it is added to sums. */
interface Added {
  record: CallRecord;
  cost: Decimal | undefined;
  /** Buckets. */
  ttft: number | undefined;
  duration: number;
  sign: 1 | -1;
}

function addCall(sums: Sums, { record, cost, ttft, duration, sign }: Added): void {
  const { row } = sums;
  row.calls += sign;
  if (record.status === "error" || record.status === "interrupted") row.errors += sign;
  if (record.cache_hit) row.cache_hits += sign;
  if (record.usage_source === "estimate") row.estimated_calls += sign;
  if (record.cost === null && record.prompt_tokens + record.completion_tokens > 0) row.unpriced_calls += sign;
  row.prompt_tokens += sign * record.prompt_tokens;
  row.cached_tokens += sign * record.cached_tokens;
  row.cache_write_tokens += sign * record.cache_write_tokens;
  row.completion_tokens += sign * record.completion_tokens;
  row.reasoning_tokens += sign * record.reasoning_tokens;
  if (cost) sums.cost = plus(sums.cost, cost);
  if (ttft !== undefined) sums.ttft.push(ttft);
  sums.duration.push(duration);
}

/** Writes what is exact or many into the row. */
function finish({ row, cost, ttft, duration }: Sums, sign: 1 | -1): void {
  row.cost = formatDecimal(cost);
  row.ttft = histogramOf(ttft, sign);
  row.duration = histogramOf(duration, sign);
}

/** Finished sums by a coarser grain. Each key begins with its time, so that most of the order stays. */
const coarser = (all: Keyed, [from, to]: ["hour" | "day", "day" | "month"], sign: 1 | -1): Keyed =>
  folded(all, sign, (key) => {
    const time = key.slice(0, grains[to].length);
    return [time + key.slice(grains[from].length), { grain: to, starts_at: time + grains[to].rest }];
  });

/** The service's finished sums of each app, whichever of its keys was used. */
const withoutKeys = (all: Keyed, sign: 1 | -1): Keyed =>
  folded(
    all.filter(([, { row }]) => row.cut === "service"),
    sign,
    (_, { starts_at, app_id, model, provider, currency }) => [
      `${starts_at}${app_id}${model}${nul}${provider}${nul}${currency}`,
      { cut: "app", key_id: nilUuid },
    ],
  );

/**
 * Finished sums as sums of more: `to` tells the new key of each, and what is different in its row. Most batches are of one hour,
 * and most rows the same by each grain: what nothing joins is not made anew.
 */
function folded(
  all: Keyed,
  sign: 1 | -1,
  to: (key: string, row: UsageRow) => [key: string, changes: Partial<UsageRow>],
): Keyed {
  const result = new Map<string, Sums>();
  for (const [key, fine] of all) {
    const [place, changes] = to(key, fine.row);
    const sums = result.get(place);
    if (!sums) {
      result.set(place, { ...fine, row: { ...fine.row, ...changes } });
      continue;
    }
    for (const count of usageCounts) sums.row[count] += fine.row[count];
    sums.cost = plus(sums.cost, fine.cost);
    sums.ttft = [...sums.ttft, ...fine.ttft];
    sums.duration = [...sums.duration, ...fine.duration];
    finish(sums, sign);
  }
  return sorted(result);
}

type Keyed = readonly (readonly [key: string, sums: Sums])[];

const sorted = (all: ReadonlyMap<string, Sums>): Keyed => [...all].sort(([a], [b]) => (a < b ? -1 : 1));
