import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { healthz, ping, readyz } from "../handlers/health.ts";
import type { HealthService } from "../services/health.ts";
import { envelopeDoc } from "./contract.ts";
import { scoped } from "./scope.ts";

const PingContract = {
  detail: envelopeDoc({
    operationId: "ping",
    tag: "health",
    summary: "Whether the service works, its database included",
    data: Type.Object({}),
    example: { message: "pong", data: {} },
    errors: ["FORBIDDEN", "FAIL"],
  }),
};

const plain = (description: string, example: unknown) => ({
  description,
  content: { "application/json": { schema: { type: "object" as const }, example } },
});

const HealthzContract = {
  detail: {
    operationId: "healthz",
    tags: ["health"],
    summary: "Whether the process is alive",
    responses: { 200: plain("alive", { status: "ok" }) },
  },
};

const ReadyzContract = {
  detail: {
    operationId: "readyz",
    tags: ["health"],
    summary: "Whether calls may be sent here",
    responses: {
      200: plain("ready", { status: "ready", database: "up", draining: false }),
      503: plain("the database is away, or the service is stopping", {
        status: "not ready",
        database: "down",
        draining: false,
      }),
    },
  },
};

/** `/ping` in the envelope, `/healthz` and `/readyz` with real HTTP statuses for probes. */
export const healthRoutes = ({ health }: { health: HealthService }) =>
  new Elysia({ normalize: false })
    .use(scoped)
    .get("/ping", ({ scope }) => ping({ health }, { locale: scope.locale }), PingContract)
    .get("/healthz", () => healthz(), HealthzContract)
    .get("/readyz", () => readyz({ health }), ReadyzContract);
