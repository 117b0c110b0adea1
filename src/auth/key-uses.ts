import type { Uuid } from "../id.ts";

/** How often what was noted is written, in milliseconds. */
const flushMs = 10_000;

/** Notes when keys were last used, and writes it together: a call costs no statement. */
export interface KeyUses extends AsyncDisposable {
  note(keyId: Uuid, at: Date): void;
}

/** Collects uses and hands them to `write` every 10 seconds, and when it ends; what `write` refuses is tried again. */
export function collectKeyUses(write: (uses: { id: Uuid; at: Date }[]) => Promise<void>): KeyUses {
  let uses = new Map<Uuid, Date>();
  const flush = async () => {
    if (uses.size === 0) return;
    const batch = uses;
    uses = new Map();
    try {
      await write([...batch].map(([id, at]) => ({ id, at })));
    } catch {
      uses = new Map([...batch, ...uses]);
    }
  };
  const timer = setInterval(flush, flushMs);
  timer.unref();
  return {
    note: (keyId, at) => void uses.set(keyId, at),
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await flush();
    },
  };
}
