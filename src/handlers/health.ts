import { FailError } from "../errors/app-error.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { HealthService } from "../services/health.ts";

interface Needs {
  health: HealthService;
}

/** `GET /ping`: whether the service can do its work, the database included. */
export async function ping({ health }: Needs, { locale }: { locale: Locale }): Promise<Envelope> {
  if (!(await health.ready()).database) throw new FailError("database.unreachable");
  return success(t(locale, "health.pong"), {});
}

/** `GET /healthz`: the process is alive. */
export const healthz = (): Response => Response.json({ status: "ok" });

/** `GET /readyz`: calls may be sent here; 503 while the database is away or the service is stopping. */
export async function readyz({ health }: Needs): Promise<Response> {
  const { database, draining } = await health.ready();
  const ready = database && !draining;
  return Response.json(
    { status: ready ? "ready" : "not ready", database: database ? "up" : "down", draining },
    { status: ready ? 200 : 503, headers: { "cache-control": "no-store" } },
  );
}
