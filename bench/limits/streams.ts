import type { Socket } from "bun";
import { headEnd, isWhole, requestOf } from "../load.ts";

/** An answer; the status is 0 where there was none. */
interface Answer {
  status: number;
  /** The error's code in OpenAI's dialect; empty where it is none. */
  code: string;
}

/** What was answered, and how often: `200`, or a status and a code. */
export type Tally = Map<string, number>;

/** Somebody who asks again and again, over several connections at once. */
export interface Asking {
  /** Where; read anew for each question. A connection that breaks goes on at the next. */
  urls: readonly string[];
  key: string;
  user: string;
  streams: number;
  maxTokens?: number;
  /** Whether answers are to be streams. */
  stream?: boolean;
  /** Mean pause after a refusal, in milliseconds. */
  pauseMs: number;
  /** Asked before each question. */
  goesOn: () => boolean;
  answered?: (answer: Answer) => void;
}

/** Longest wait for an answer, in milliseconds. */
const answerMsMax = 60_000;

const none: Answer = { status: 0, code: "" };
const empty: Buffer = Buffer.alloc(0);

/** One connection at a time, opened when it is needed. */
function createConnection() {
  let socket: Socket | undefined;
  let origin = "";
  let pending = empty;
  let waiter: ((answer: Answer) => void) | undefined;
  const answer = (it: Answer) => {
    const told = waiter;
    waiter = undefined;
    pending = empty;
    told?.(it);
  };
  const lost = (own: Socket | undefined) => {
    if (own !== socket) return;
    socket = undefined;
    answer(none);
  };
  const open = async (url: URL) =>
    Bun.connect({
      hostname: url.hostname,
      port: Number(url.port),
      socket: {
        data(own, chunk) {
          if (own !== socket) return;
          pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
          const head = pending.indexOf(headEnd);
          if (head === -1) return;
          const text = pending.toString("latin1", 0, head);
          if (!isWhole(pending, head, text)) return;
          const status = Number(text.slice(9, 12));
          const code = status === 200 ? "" : (/"code":\s*"(\w+)"/.exec(pending.toString())?.[1] ?? "");
          answer({ status, code });
        },
        close: lost,
        error: lost,
      },
    });
  return {
    async ask(url: string, request: string): Promise<Answer> {
      try {
        if (!socket || origin !== url) {
          const left = socket;
          socket = undefined;
          left?.end();
          socket = await open(new URL(url));
          origin = url;
        }
      } catch {
        return none;
      }
      const own = socket;
      const late = setTimeout(() => {
        own.terminate();
        lost(own);
      }, answerMsMax);
      const result = await new Promise<Answer>((resolve) => {
        waiter = resolve;
        own.write(request);
      });
      clearTimeout(late);
      return result;
    },
    end: () => socket?.end(),
  };
}

/** Asks on and on. Resolves with what was answered once everybody has stopped. */
export async function askOn({
  urls,
  key,
  user,
  streams,
  maxTokens = 1024,
  stream = false,
  pauseMs,
  goesOn,
  answered,
}: Asking): Promise<Tally> {
  const tally: Tally = new Map();
  const body = JSON.stringify({
    model: "app",
    user,
    max_tokens: maxTokens,
    ...(stream && { stream }),
    messages: [{ role: "user", content: "hi" }],
  });
  const headers = { authorization: `Bearer ${key}` };
  const one = async (number: number) => {
    const connection = createConnection();
    let place = number;
    while (goesOn()) {
      const url = urls[place % urls.length] ?? "";
      const request = requestOf(new URL("/v1/chat/completions", url), { headers, body });
      const answer = await connection.ask(url, request);
      const name = `${answer.status} ${answer.code}`.trim();
      tally.set(name, (tally.get(name) ?? 0) + 1);
      answered?.(answer);
      if (answer.status === 0) place++;
      if (answer.status !== 200) await Bun.sleep(pauseMs * (0.5 + Math.random()));
    }
    connection.end();
  };
  await Promise.all(Array.from({ length: streams }, (_, number) => one(number)));
  return tally;
}

/** Asks on until nothing has been let in for `quietMs`. */
export async function exhaust(
  asking: Omit<Asking, "goesOn" | "answered"> & { quietMs: number },
): Promise<Tally> {
  let lastAt = performance.now();
  return askOn({
    ...asking,
    goesOn: () => performance.now() - lastAt < asking.quietMs,
    answered: ({ status }) => {
      if (status === 200) lastAt = performance.now();
    },
  });
}

/** Answers that are neither what was asked for nor a refusal that `expected` names. */
export function unexpected(tally: Tally, expected: readonly string[]): number {
  let count = 0;
  for (const [name, times] of tally) if (name !== "200" && !expected.includes(name)) count += times;
  return count;
}

/** A tally in one line. */
export const tallyText = (tally: Tally): string =>
  [...tally]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, times]) => `${times} x ${name}`)
    .join(", ");
