import type { KeyPrincipal } from "../auth/principal.ts";
import { NotFoundError } from "../errors/app-error.ts";

/** A model in OpenAI's list. */
export interface WireModel {
  id: string;
  object: "model";
  /** Seconds since 1970; when it was made is not known here. */
  created: 0;
  owned_by: "llmops";
}

const toWireModel = (id: string): WireModel => ({ id, object: "model", created: 0, owned_by: "llmops" });

/** What a key may call: its app, by either name, and the model of the app's config, as far as the key is not narrowed. */
const modelsOf = ({ appId, appModel, models }: KeyPrincipal): string[] => {
  const all = ["app", appId, ...(appModel === undefined ? [] : [appModel])];
  return models.length === 0 ? all : all.filter((model) => models.includes(model));
};

/** `GET /v1/models` */
export const listModels = (key: KeyPrincipal): Response =>
  Response.json({ object: "list", data: modelsOf(key).map(toWireModel) });

/** `GET /v1/models/:model` @throws {NotFoundError} no such model, or not this key's to call. */
export function getModel(key: KeyPrincipal, model: string): Response {
  if (!modelsOf(key).includes(model))
    throw new NotFoundError("model.not_found", { params: { model: model.slice(0, 255) } });
  return Response.json(toWireModel(model));
}
