import { networkOf } from "../address.ts";
import type { Passwords } from "../auth/password.ts";
import type { Actor, Principal } from "../auth/principal.ts";
import { type AccessTokens, accessSeconds } from "../auth/token.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { NotFoundError, RateLimitedError, UnauthorizedError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import { type Account, findAccountByEmail } from "../sql/account.ts";
import type { Db } from "../sql/db.ts";
import {
  deleteLoginAttempts,
  deleteOldLoginAttempts,
  takeLoginAttempt,
  undoLoginAttempt,
} from "../sql/login-attempt.ts";
import {
  deleteOldSessions,
  endSessions,
  findLiveSession,
  findRefreshToken,
  hasSessionFrom,
  insertRefreshToken,
  insertSession,
  listSession,
  type Session,
  touchSession,
  useRefreshToken,
} from "../sql/session.ts";
import type { AuditService } from "./audit.ts";

export type { Session } from "../sql/session.ts";

/** How long a login lasts that is never refreshed, in seconds: 30 days. */
export const refreshSeconds = 30 * 24 * 3600;

/** Most sessions that a list shows. */
const sessionsMax = 100;

/** From where a call comes. */
export interface Caller {
  /** The address, as far as trusted proxies tell. */
  ip: string;
  userAgent: string;
  requestId: Uuid;
}

/** A login: an access token for 15 minutes, and a refresh token that is exchanged once. */
export interface Tokens {
  accessToken: string;
  accessSeconds: number;
  refreshToken: string;
  refreshSeconds: number;
}

export interface SessionServiceOptions {
  sql: Sql;
  clock: Clock;
  passwords: Passwords;
  tokens: AccessTokens;
  /** Keyed hash of a secret. */
  hash: (secret: string) => Uint8Array;
  audit: AuditService;
}

/** Logging in, staying logged in, and ending it. */
export type SessionService = ReturnType<typeof createSessionService>;

const newSecret = (): string =>
  `llr_${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url")}`;

/** Creates the service over a pool. */
export function createSessionService({ sql, clock, passwords, tokens, hash, audit }: SessionServiceOptions) {
  const actorOf = ({ id, email }: { id: Uuid; email: string }, { ip, requestId }: Caller): Actor => ({
    kind: "account",
    id,
    name: email,
    ip,
    requestId,
  });

  /** A further refresh token of a session, and an access token. */
  async function issue(
    db: Db,
    { sessionId, accountId, at }: { sessionId: Uuid; accountId: Uuid; at: Date },
  ): Promise<Tokens> {
    const refreshToken = newSecret();
    await insertRefreshToken(db, { hash: hash(refreshToken), sessionId, at });
    return {
      accessToken: await tokens.sign({ accountId, sessionId }, at),
      accessSeconds,
      refreshToken,
      refreshSeconds,
    };
  }

  const expiryFrom = (at: Date) => new Date(at.getTime() + refreshSeconds * 1000);

  /** Opens a session for an account that has shown who it is. */
  async function open(account: Pick<Account, "id" | "email">, caller: Caller): Promise<Tokens> {
    const at = clock.now();
    const session: Session = {
      id: newId(),
      account_id: account.id,
      address: networkOf(caller.ip),
      user_agent: caller.userAgent.toWellFormed().replaceAll("\0", "").slice(0, 512),
      created_at: at,
      used_at: at,
      expires_at: expiryFrom(at),
      ended_at: null,
    };
    return sql.begin(async (tx) => {
      await insertSession(tx, session);
      await audit.record(tx, {
        actor: actorOf(account, caller),
        action: "session.create",
        subjectKind: "session",
        subjectId: session.id,
        before: null,
        after: { account_id: account.id, address: session.address },
      });
      return issue(tx, { sessionId: session.id, accountId: account.id, at });
    });
  }

  /**
   * Counts an attempt for the account and for where it comes from. Where the owner has logged in from lately, attempts
   * are counted apart: whoever tries from elsewhere does not slow them down.
   */
  async function takeAttempt(email: string, ip: string): Promise<{ account: string; address: string }> {
    const at = clock.now();
    const network = networkOf(ip);
    const known = await hasSessionFrom(sql, { email, address: network });
    const name = Buffer.from(hash(`login:${email}`)).toString("base64url");
    const account = `account:${name}${known ? `@${network}` : ""}`;
    const address = `address:${network}`;
    await sql.begin(async (tx) => {
      for (const subject of [account, address]) {
        const { waitUntil } = await takeLoginAttempt(tx, { subject, at });
        if (!waitUntil) continue;
        const retryAfter = Math.max(1, Math.ceil((waitUntil.getTime() - at.getTime()) / 1000));
        throw new RateLimitedError("auth.slow_down", { retryAfter });
      }
    });
    return { account, address };
  }

  return {
    open,

    /**
     * Logs in by e-mail and password.
     * @throws {UnauthorizedError} one of them is wrong, or the account is disabled; not which.
     * @throws {RateLimitedError} too many attempts for this account or from this network.
     */
    async login({ email, password }: { email: string; password: string }, caller: Caller): Promise<Tokens> {
      const name = email.toLowerCase();
      const attempt = await takeAttempt(name, caller.ip);
      const account = await findAccountByEmail(sql, name);
      const right = await passwords.verify(password, account?.password_hash);
      if (!account || !right || account.status === "disabled") throw new UnauthorizedError("auth.bad_login");
      await deleteLoginAttempts(sql, attempt.account);
      await undoLoginAttempt(sql, { subject: attempt.address, at: clock.now() });
      return open(account, caller);
    },

    /**
     * Exchanges a refresh token for a new pair. One that comes a second time was stolen, or its owner's was: the whole
     * session ends.
     * @throws {UnauthorizedError} it is not known, was used, or its session is over.
     */
    async refresh(refreshToken: string, caller: Caller): Promise<Tokens> {
      const at = clock.now();
      const issued = await sql.begin(async (tx) => {
        const digest = hash(refreshToken);
        const token = await findRefreshToken(tx, digest);
        if (!token) return undefined;
        const session = await findLiveSession(tx, { id: token.session_id, at });
        if (!session) return undefined;
        if (token.used_at) {
          await endSessions(tx, { accountId: token.account_id, only: token.session_id, at });
          await audit.record(tx, {
            actor: actorOf({ id: session.account_id, email: session.email }, caller),
            action: "session.reuse",
            subjectKind: "session",
            subjectId: token.session_id,
            before: null,
            after: null,
          });
          return undefined;
        }
        await useRefreshToken(tx, { hash: digest, at });
        await touchSession(tx, { id: token.session_id, at, expiresAt: expiryFrom(at) });
        return issue(tx, { sessionId: token.session_id, accountId: token.account_id, at });
      });
      if (!issued) throw new UnauthorizedError("auth.bad_refresh");
      return issued;
    },

    /** Ends the session of a refresh token; nothing happens where there is none. */
    async logout(refreshToken: string, caller: Caller): Promise<void> {
      await sql.begin(async (tx) => {
        const at = clock.now();
        const token = await findRefreshToken(tx, hash(refreshToken));
        const session = token && (await findLiveSession(tx, { id: token.session_id, at }));
        if (!session) return;
        const { session_id: id, account_id: accountId, email } = session;
        await endSessions(tx, { accountId, only: id, at });
        await audit.record(tx, {
          actor: actorOf({ id: accountId, email }, caller),
          action: "session.end",
          subjectKind: "session",
          subjectId: id,
          before: null,
          after: null,
        });
      });
    },

    /** Removes what is of no more use: sessions that ended 90 days ago, and attempts of yesterday. */
    async prune(): Promise<void> {
      const now = clock.now().getTime();
      await deleteOldSessions(sql, new Date(now - 90 * 24 * 3600 * 1000));
      await deleteOldLoginAttempts(sql, new Date(now - 24 * 3600 * 1000));
    },

    /** The live session with this id, and what its account may do. */
    find: async (id: Uuid) => findLiveSession(sql, { id, at: clock.now() }),

    /** The caller's own sessions, newest first, at most 100. */
    list: async ({ accountId }: Principal): Promise<Session[]> =>
      listSession(sql, { accountId, limit: sessionsMax, at: clock.now() }),

    /** Ends one of the caller's own sessions. @throws {NotFoundError} none, ended already, or somebody else's. */
    async end({ accountId, actor }: Principal, id: Uuid): Promise<void> {
      await sql.begin(async (tx) => {
        const ended = await endSessions(tx, { accountId, only: id, at: clock.now() });
        if (ended === 0) throw new NotFoundError("session.not_found");
        await audit.record(tx, {
          actor,
          action: "session.end",
          subjectKind: "session",
          subjectId: id,
          before: null,
          after: null,
        });
      });
    },
  };
}
