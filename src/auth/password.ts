/** OWASP's smallest recommended setting for argon2id: 19 MiB, two passes (Password Storage Cheat Sheet, 2024). */
const cost = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 } as const;

/** At most so many at once: each takes 19 MiB and a core for some 60 ms. */
const workers = 4;

/** Hashes and checks passwords, a few at a time; the others wait their turn. */
export interface Passwords {
  /** Argon2id in PHC form. */
  hash(password: string): Promise<string>;
  /**
   * Whether `password` is the one behind `hash`. Without a hash it takes as long and is `false`, so that the time does
   * not tell whether there is such an account.
   */
  verify(password: string, hash: string | null | undefined): Promise<boolean>;
}

/** Creates a checker. */
export function createPasswords(): Passwords {
  let free = workers;
  const queue: (() => void)[] = [];
  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => queue.push(resolve));
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next) next();
      else free++;
    }
  };
  let nobodys: Promise<string> | undefined;
  const hash = (password: string) => inTurn(() => Bun.password.hash(password, cost));
  return {
    hash,
    async verify(password, known) {
      nobodys ??= hash(crypto.randomUUID());
      const against = known ?? (await nobodys);
      const right = await inTurn(() => Bun.password.verify(password, against).catch(() => false));
      return right && typeof known === "string";
    },
  };
}
