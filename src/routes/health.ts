import { type TSchema, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { healthz, ping, readyz } from "../handlers/health.ts";
import type { HealthService } from "../services/health.ts";
import { envelopeDoc, oneOf } from "./contract.ts";
import { scoped } from "./scope.ts";

const PingContract = {
  detail: envelopeDoc({
    operationId: "ping",
    open: true,
    tag: "health",
    summary: "Whether the service works, its database included",
    data: Type.Object({}),
    example: { message: "pong", data: {} },
    errors: ["FORBIDDEN", "FAIL"],
  }),
};

const plain = (description: string, schema: TSchema, example: unknown) => ({
  description,
  content: { "application/json": { schema: schema as never, example } },
});

const Alive = Type.Object({ status: Type.String() });
const Readiness = Type.Object({
  status: oneOf(["ready", "not ready"]),
  database: oneOf(["up", "down"]),
  draining: Type.Boolean({ description: "the service has been told to stop" }),
});

const HealthzContract = {
  detail: {
    operationId: "healthz",
    tags: ["health"],
    summary: "Whether the process is alive",
    responses: { 200: plain("alive", Alive, { status: "ok" }) },
  },
};

const ReadyzContract = {
  detail: {
    operationId: "readyz",
    tags: ["health"],
    summary: "Whether calls may be sent here",
    responses: {
      200: plain("ready", Readiness, { status: "ready", database: "up", draining: false }),
      503: plain("the database is away, or the service is stopping", Readiness, {
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
