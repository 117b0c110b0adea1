import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { Asker, CompletionService } from "../services/completion.ts";
import type { Model, ModelChange, ModelService } from "../services/model.ts";
import { type PageQuery, toPage, toWirePage } from "./page.ts";

interface Needs {
  models: ModelService;
  completions: CompletionService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
}

/** A model as callers see it. */
export type WireModel = Omit<Model, "created_at" | "updated_at"> & { created_at: string; updated_at: string };

const toWireModel = (model: Model): WireModel => ({
  ...model,
  created_at: model.created_at.toISOString(),
  updated_at: model.updated_at.toISOString(),
});

/** `POST /model` */
export async function createModel(
  { models }: Pick<Needs, "models">,
  { principal, locale, body }: Caller & { body: ModelChange & { name: string } },
): Promise<Envelope<WireModel>> {
  const model = await models.create(principal, body);
  return success(t(locale, "model.created", { name: model.name }), toWireModel(model));
}

/** `GET /model` */
export async function listModels(
  { models }: Pick<Needs, "models">,
  query: PageQuery,
): Promise<Envelope<{ items: WireModel[]; next_cursor: Uuid | null }>> {
  return success("", toWirePage(await models.list(toPage(query)), toWireModel));
}

/** `GET /model/:id` */
export async function getModel({ models }: Pick<Needs, "models">, id: Uuid): Promise<Envelope<WireModel>> {
  return success("", toWireModel(await models.get(id)));
}

/** `POST /model/:id` */
export async function updateModel(
  { models }: Pick<Needs, "models">,
  { principal, locale, id, body }: Caller & { id: Uuid; body: ModelChange },
): Promise<Envelope<WireModel>> {
  const model = await models.update(principal, id, body);
  return success(t(locale, "model.updated", { name: model.name }), toWireModel(model));
}

/** `POST /model/:id/delete` */
export async function deleteModel(
  { models }: Pick<Needs, "models">,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope<Record<string, never>>> {
  await models.delete(principal, id);
  return success(t(locale, "model.deleted"), {});
}

/** `POST /model/:id/test`: a question of one word, which is on record like any other. */
export async function testModel(
  { models, completions }: Needs,
  { locale, id, asker }: { locale: Locale; id: Uuid; asker: Asker },
): Promise<Envelope<{ content: string; model: string; latency_ms: number }>> {
  const { name } = await models.get(id);
  const startedAt = performance.now();
  const { content, model } = await completions.test(name, asker);
  const latencyMs = Math.round(performance.now() - startedAt);
  return success(t(locale, "model.works"), { content, model, latency_ms: latencyMs });
}
