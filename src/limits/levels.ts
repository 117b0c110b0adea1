import type { Refusal } from "../metering/record.ts";
import type { BudgetRow } from "../sql/budget.ts";
import type { Caller } from "./limiter.ts";
import type { RateLimits, Rules } from "./rules.ts";

/** One limit that a call is under. */
export interface Level {
  scope: Refusal["scope"];
  subject: string;
  /** The counter's name in the database. */
  name: string;
  bound: number;
  /** Somebody has set it; otherwise it is the default. */
  set: boolean;
}

/** The limits of a caller, or of a model. */
export type Levels = Readonly<Record<keyof RateLimits, readonly Level[]>>;

/** What a caller is under. */
export interface Bounds {
  levels: Levels;
  budgets: readonly BudgetRow[];
}

/** Finds what callers and models are under, and remembers it for as long as the rules stay as they are. */
export interface BoundsOf {
  caller(rules: Rules, caller: Caller): Bounds;
  model(rules: Rules, model: string): Levels;
}

/** Most callers that are remembered. */
const rememberedMax = 10_000;

/** Those whose calls are all calls of this one too, from the inside out. */
const around = (scope: Refusal["scope"]): readonly Refusal["scope"][] =>
  scope === "account" ? [] : scope === "app" ? ["account"] : ["app", "account"];

/** A default adds nothing where a limit around it is no higher. */
const isImplied = (level: Level, all: readonly Level[]) =>
  !level.set && all.some(({ scope, bound }) => around(level.scope).includes(scope) && bound <= level.bound);

function levelsOf(rules: Rules, { keyId, appId, accountId, endUser }: Caller): Levels {
  const subjects = [
    { scope: "key", subject: keyId, suffix: "" },
    { scope: "app", subject: appId, suffix: "" },
    { scope: "account", subject: accountId, suffix: "" },
    { scope: "user", subject: endUser === null ? null : appId, suffix: ` ${endUser}` },
  ] as const;
  const of = (field: keyof RateLimits): Level[] => {
    const all = subjects.flatMap(({ scope, subject, suffix }) => {
      if (subject === null) return [];
      const user = scope === "user" && endUser !== null ? { endUser } : {};
      const { bound, set } = rules.rateLimit(field, { scope, subject, ...user });
      return [
        { scope, subject: subject + suffix, name: `${field} ${scope} ${subject}${suffix}`, bound, set },
      ];
    });
    return all.filter((level) => !isImplied(level, all));
  };
  return { requests: of("requests"), tokens: of("tokens"), concurrency: of("concurrency") };
}

const budgetsOf = (rules: Rules, { keyId, appId, accountId, endUser }: Caller): BudgetRow[] => [
  ...(keyId === null ? [] : rules.budgets("key", keyId)),
  ...(appId === null ? [] : rules.budgets("app", appId)),
  ...(accountId === null ? [] : rules.budgets("account", accountId)),
  ...(appId === null || endUser === null ? [] : rules.budgets("user", appId, endUser)),
];

/** The limits of a model, where somebody has set any. */
const modelLevels = (rules: Rules, model: string): Levels => {
  const of = (field: keyof RateLimits): Level[] => {
    const { bound, set } = rules.rateLimit(field, { scope: "model", subject: model });
    return set ? [{ scope: "model", subject: model, name: `${field} model ${model}`, bound, set }] : [];
  };
  return { requests: of("requests"), tokens: of("tokens"), concurrency: of("concurrency") };
};

/** A memory of what belongs to rules, by two names: one made of both would have to be looked for anew in each call. */
class Memory<T> {
  readonly #known = new WeakMap<Rules, { count: number; all: Map<string, Map<string, T>> }>();

  get(rules: Rules, first: string, second: string): T | undefined {
    return this.#known.get(rules)?.all.get(first)?.get(second);
  }

  /** Returns `found`. */
  set(rules: Rules, first: string, second: string, found: T): T {
    let memory = this.#known.get(rules);
    if (!memory || memory.count > rememberedMax) {
      memory = { count: 0, all: new Map() };
      this.#known.set(rules, memory);
    }
    let some = memory.all.get(first);
    if (!some) {
      some = new Map();
      memory.all.set(first, some);
    }
    some.set(second, found);
    memory.count++;
    return found;
  }
}

/** Creates the finder of a process. */
export function createBoundsOf(): BoundsOf {
  const callers = new Memory<Bounds>();
  const models = new Memory<Levels>();
  return {
    caller(rules, caller) {
      const endUser = caller.appId !== null && rules.hasUsers(caller.appId) ? caller.endUser : null;
      const name = caller.keyId ?? caller.accountId ?? "";
      // No user's name is empty.
      const user = endUser ?? "";
      const known = callers.get(rules, name, user);
      if (known) return known;
      const own = { ...caller, endUser };
      const bounds = { levels: levelsOf(rules, own), budgets: budgetsOf(rules, own) };
      return callers.set(rules, name, user, bounds);
    },
    model: (rules, model) =>
      models.get(rules, model, "") ?? models.set(rules, model, "", modelLevels(rules, model)),
  };
}
