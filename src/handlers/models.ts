import type { KeyPrincipal } from "../auth/principal.ts";
import { NotFoundError } from "../errors/app-error.ts";
import type { CallService } from "../services/call.ts";

interface Needs {
  calls: CallService;
}

/** A model in OpenAI's list. */
export interface WireModel {
  id: string;
  object: "model";
  /** Seconds since 1970; when it was made is not known here. */
  created: 0;
  owned_by: "llmops";
}

const toWireModel = (id: string): WireModel => ({ id, object: "model", created: 0, owned_by: "llmops" });

/** `GET /v1/models`: what the key may call. */
export const listModels = ({ calls }: Needs, key: KeyPrincipal): Response =>
  Response.json({ object: "list", data: calls.models(key).map(toWireModel) });

/** `GET /v1/models/:model` @throws {NotFoundError} no such model, or not this key's to call. */
export function getModel({ calls }: Needs, key: KeyPrincipal, model: string): Response {
  if (!calls.models(key).includes(model))
    throw new NotFoundError("model.not_found", { params: { model: model.slice(0, 255) } });
  return Response.json(toWireModel(model));
}
