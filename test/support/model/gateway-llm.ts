/** A model API behind a server's gateway, and calls to it as an agent signs them. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { planCall } from "@trustwarden/core/gateway/plan.ts";
import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { serverIdOf, signedRequest, type TestInstance } from "../actors.ts";
import { type RawAnswer, type RawRequest, send, sendAdmin } from "../http.ts";
import type { TestServer } from "../server.ts";
import type { FakeModel } from "./fake-model.ts";

/** Prices of the fake model; round, so that a test can count. Micro-USD for a million tokens. */
export const FAKE_PRICES: JsonObject = {
  as_of: "2026-11-22",
  source: "test/support/model",
  models: {
    "gpt-test": { input: 1_000_000, output: 2_000_000, max_output_tokens: 1000 },
    "claude-test": { input: 3_000_000, output: 15_000_000, cached_input: 300_000, cache_write: 3_750_000 },
    "embed-test": { input: 100_000, output: 0 },
  },
};

export type LlmKind = "openai" | "anthropic";

/** Registers the fake model under the name of its kind, or another. */
export async function registerModel(
  server: TestServer,
  model: Pick<FakeModel, "url">,
  kind: LlmKind,
  options: { readonly name?: string; readonly settings?: JsonObject; readonly secret?: string } = {},
): Promise<RawAnswer> {
  const { name = kind, settings = { prices: FAKE_PRICES }, secret = null } = options;
  const body = JSON.stringify({ name, kind, url: model.url, allow_private: true, secret, settings });
  return sendAdmin(server.adminSocket, { method: "POST", target: "/v1/upstreams", body });
}

/** What an agent knows of the model, as `GET /v1/gateway` tells it. */
export interface ModelAccess {
  readonly server: TestServer;
  /** Asked for when absent. */
  readonly serverId?: string;
  readonly model: Pick<FakeModel, "url">;
  readonly kind: LlmKind;
  readonly name?: string;
  readonly settings?: JsonObject;
}

/** One signed request to the model API, not yet sent. */
export async function signedModelCall(
  access: ModelAccess,
  agent: TestInstance,
  call: { readonly method?: string; readonly path: string; readonly body?: object | string },
): Promise<RawRequest> {
  const { server, model, kind, name = kind, settings = { prices: FAKE_PRICES } } = access;
  const { method = "POST", path, body } = call;
  const text = body === undefined || typeof body === "string" ? (body ?? "") : JSON.stringify(body);
  const target = `/${name}${path}`;
  const { action, resource } = planCall(
    { name: parseUpstreamName(name), kind, resource: model.url, settings },
    { method, target: parseRequestTarget(path), headers: {}, body: encodeUtf8(text) },
  );
  const aud = access.serverId ?? (await serverIdOf(server));
  const headers = { "content-type": "application/json" };
  return signedRequest(agent, {
    method,
    target,
    body: text,
    headers,
    action,
    aud,
    intent: { action, resource },
  });
}

/** Sends one signed request and reads the whole answer. */
export async function callModel(
  access: ModelAccess,
  agent: TestInstance,
  call: Parameters<typeof signedModelCall>[2],
): Promise<RawAnswer> {
  return send(access.server.gatewayUrl ?? "", await signedModelCall(access, agent, call), agent.tls);
}

/** The body of a chat with one message. */
export function chatOf(text: string, more: object = {}) {
  return { model: "gpt-test", messages: [{ role: "user", content: text }], ...more };
}
