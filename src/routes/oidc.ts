import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { cookieOf } from "../auth/cookies.ts";
import { clearOidcCookie, oidcCookie } from "../auth/oidc-cookie.ts";
import type { Envelope } from "../errors/envelope.ts";
import { finishOidc, getOidc, type SignIn, startOidc, updateOidc } from "../handlers/oidc.ts";
import type { OidcService } from "../services/oidc.ts";
import { envelopeDoc, oneOf, strict, text } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, type Scope, scoped } from "./scope.ts";

const optional = Type.Optional;

const fields = {
  issuer: text({
    minLength: 1,
    maxLength: 2048,
    description: "the provider's address; https, or http on this machine",
  }),
  client_id: text({ minLength: 1, maxLength: 255 }),
  scopes: text({
    minLength: 1,
    maxLength: 1024,
    description: "separated by spaces, with `openid` among them",
  }),
  allowed_domains: Type.Array(text({ minLength: 1, maxLength: 253 }), {
    maxItems: 100,
    description:
      "who may log in, by the domain of their e-mail address, exactly; empty: everybody whom the provider knows",
  }),
  role_claim: text({
    maxLength: 255,
    description: "the claim that holds roles, or a path to it such as `realm_access.roles`; empty: none",
  }),
  role_map: Type.Array(
    strict({ value: text({ minLength: 1, maxLength: 255 }), role: oneOf(["admin", "editor", "viewer"]) }),
    { maxItems: 100, description: "what a value of the claim gives; of several the most counts" },
  ),
  default_role: oneOf(["editor", "viewer"], { description: "for who has no mapped role" }),
  enabled: Type.Boolean(),
};

const Oidc = Type.Object({
  ...fields,
  client_secret_set: Type.Boolean(),
  redirect_uri: Type.String({ description: "to be registered at the provider, to the letter" }),
  created_at: Type.String({ format: "date-time" }),
  updated_at: Type.String({ format: "date-time" }),
});

const example: Static<typeof Oidc> = {
  issuer: "https://id.example.com",
  client_id: "llmops",
  scopes: "openid email profile",
  allowed_domains: ["example.com"],
  role_claim: "groups",
  role_map: [{ value: "llmops-admins", role: "admin" }],
  default_role: "viewer",
  enabled: true,
  client_secret_set: true,
  redirect_uri: "https://llmops.example.com/auth/oidc/callback",
  created_at: "2026-11-23T08:00:00.000Z",
  updated_at: "2026-11-23T08:00:00.000Z",
};

const GetOidcContract = {
  detail: envelopeDoc({
    operationId: "getOidc",
    tag: "oidc",
    summary: "Get the OpenID Connect settings",
    description:
      "Where there are none yet, `NOT_FOUND` carries the `redirect_uri` to register at the provider.",
    data: Oidc,
    example: { message: "", data: example },
    errors: ["NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
  }),
};

const UpdateOidcContract = {
  body: strict(
    {
      issuer: optional(fields.issuer),
      client_id: optional(fields.client_id),
      client_secret: optional(
        text({ maxLength: 4096, description: "empty keeps the one there is; never shown" }),
      ),
      scopes: optional(fields.scopes),
      allowed_domains: optional(fields.allowed_domains),
      role_claim: optional(fields.role_claim),
      role_map: optional(fields.role_map),
      default_role: optional(fields.default_role),
      enabled: optional(fields.enabled),
    },
    {
      examples: [
        { issuer: example.issuer, client_id: "llmops", client_secret: "…", allowed_domains: ["example.com"] },
      ],
    },
  ),
  detail: envelopeDoc({
    operationId: "updateOidc",
    tag: "oidc",
    summary: "Change the OpenID Connect settings",
    description:
      "Changes the fields in the body and no others. The provider is asked for its OpenID configuration, for at most " +
      "5 seconds. With a `role_claim` the provider decides about roles at each login; an owner stays an owner.",
    data: Oidc,
    example: { message: "单点登录设置已保存", data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { issuer: ["无法访问:请检查地址与网络"] },
  }),
};

const failed = (description: string) => ({
  description: `a page that says why: ${description}`,
  content: {
    "text/html": { schema: { type: "string" as const }, example: "<!doctype html><title>登录失败</title>…" },
  },
});
const redirected = (description: string) => ({
  description,
  headers: { location: { description: "where to", schema: { type: "string" as const } } },
});

const StartOidcContract = {
  query: strict({
    return_to: optional(
      text({ maxLength: 1024, description: "a path on this service to come back to; `/` for anything else" }),
    ),
  }),
  transform: ({ request }: { request: Request }) => checkQuery(request),
  detail: {
    operationId: "startOidc",
    tags: ["auth"],
    summary: "Log in with the OpenID provider",
    description: "For browsers: sends them to the provider, with a cookie that they must bring back.",
    responses: {
      302: redirected("to the provider"),
      404: failed("there is no provider"),
      502: failed("the provider cannot be reached"),
    },
  },
};

const FinishOidcContract = {
  detail: {
    operationId: "finishOidc",
    tags: ["auth"],
    summary: "Come back from the OpenID provider",
    description:
      "The redirect URI: the provider sends the browser here with `code` and `state`, or with `error`.",
    responses: {
      302: redirected("logged in, and back to where the login began"),
      400: failed(
        "the answer does not belong to this browser's login, is a refusal, or could not be verified",
      ),
      403: failed("who this is may not log in"),
      502: failed("the provider cannot be reached"),
    },
  },
};

export interface OidcRoutesOptions {
  oidc: OidcService;
  signIn: SignIn;
  /** Renders an error for this request, and logs it where it is not the caller's. */
  renderError: (error: unknown, scope: Scope) => Envelope;
}

/** `/auth/oidc/start` and `/auth/oidc/callback` for browsers, `/oidc` for the settings. */
export const oidcRoutes = ({ oidc, signIn, renderError }: OidcRoutesOptions) =>
  new Elysia({ normalize: false })
    .use(scoped)
    .get(
      "/auth/oidc/start",
      ({ query: { return_to: returnTo }, scope }) =>
        startOidc(
          { oidc, renderError: (error) => renderError(error, scope) },
          { returnTo, locale: scope.locale },
        ),
      StartOidcContract,
    )
    .get(
      "/auth/oidc/callback",
      ({ request, scope }) =>
        finishOidc(
          { oidc, signIn, renderError: (error) => renderError(error, scope) },
          {
            request,
            cookie: cookieOf(request.headers.get("cookie"), oidcCookie),
            clearing: clearOidcCookie,
            locale: scope.locale,
          },
        ),
      FinishOidcContract,
    )
    .get("/oidc", () => getOidc({ oidc }), GetOidcContract)
    .post(
      "/oidc",
      ({ body, scope }) =>
        updateOidc({ oidc }, { principal: principalOf(scope), locale: scope.locale, body }),
      UpdateOidcContract,
    );
