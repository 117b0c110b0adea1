import { Elysia } from "elysia";
import { createSetup } from "../handlers/setup.ts";

/** `/setup`: the page behind the setup link, where the first owner is made. */
export const setupRoutes = () => {
  const { page, script, styles } = createSetup();
  return new Elysia({ prefix: "/setup", normalize: false, detail: { hide: true } })
    .get("/", ({ request }) => page(request))
    .get("/setup.js", ({ request }) => script(request))
    .get("/setup.css", ({ request }) => styles(request));
};
