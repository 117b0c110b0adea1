import { Elysia } from "elysia";
import { createSwagger } from "../handlers/swagger.ts";

/** `/swagger`: Swagger UI from inside the program; `/swagger/json`: the OpenAPI document, made when first asked for. */
export const swaggerRoutes = (needs: { document: () => Promise<object> }) => {
  const { page, initializer, bundle, styles, icon, document } = createSwagger(needs);
  return new Elysia({ prefix: "/swagger", normalize: false })
    .get("/", ({ request }) => page(request))
    .get("/json", ({ request }) => document(request))
    .get("/initializer.js", ({ request }) => initializer(request))
    .get("/swagger-ui-bundle.js", ({ request }) => bundle(request))
    .get("/swagger-ui.css", ({ request }) => styles(request))
    .get("/favicon.png", ({ request }) => icon(request));
};
