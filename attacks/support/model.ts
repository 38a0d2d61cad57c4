/** A model API behind the gateway, and an agent that may use it. */
import { request as tlsRequest } from "node:https";
import type { TestInstance } from "../../test/support/actors.ts";
import { type RawAnswer, send, sendOver } from "../../test/support/http.ts";
import { type FakeModel, startFakeModel } from "../../test/support/model/fake-model.ts";
import {
  chatOf,
  FAKE_PRICES,
  type ModelAccess,
  signedModelCall,
} from "../../test/support/model/gateway-llm.ts";
import { operate } from "./brokered.ts";
import type { World } from "./world.ts";

/** The scene of attacks on model calls. */
export interface ModelScene {
  readonly world: World;
  readonly model: FakeModel;
  readonly access: ModelAccess;
}

/** Starts a model and puts it behind the gateway under a name of its own. */
export async function openModel(world: World): Promise<ModelScene> {
  const model = await startFakeModel();
  const name = world.name("llm");
  const settings = { prices: FAKE_PRICES };
  await operate(world, "/v1/upstreams", {
    name,
    kind: "openai",
    url: model.url,
    allow_private: true,
    settings,
  });
  return { world, model, access: { server: world.server, model, kind: "openai", name, settings } };
}

/** One chat, whole. */
export async function chat(
  { access }: ModelScene,
  agent: TestInstance,
  text: string,
  more: object = {},
): Promise<RawAnswer> {
  return send(gatewayOf(access), await signChat(access, agent, text, more), agent.tls);
}

/** One chat over connections that the caller owns. */
export async function chatOver(
  { access }: ModelScene,
  agent: TestInstance,
  parts: { readonly text: string; readonly over: Parameters<typeof sendOver>[2] },
): Promise<RawAnswer> {
  return sendOver(gatewayOf(access), await signChat(access, agent, parts.text), parts.over);
}

/** A stream that has begun; `ended` resolves when its connection has closed, whoever did it. */
export interface OpenChat {
  readonly ended: Promise<void>;
  /** Ends our direction alone. */
  readonly halfClose: () => void;
  readonly destroy: () => void;
}

/** Opens a stream that goes on for minutes. */
export async function openChat({ access }: ModelScene, agent: TestInstance): Promise<OpenChat> {
  const signed = await signChat(access, agent, "#words=5000 #delay=50", { stream: true });
  const { hostname, port } = new URL(gatewayOf(access));
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const { method, target: path, headers } = signed;
  const request = tlsRequest(
    {
      hostname,
      port,
      method,
      path,
      headers: { ...headers },
      rejectUnauthorized: false,
      agent: false,
      ...agent.tls,
    },
    (response) => {
      response.once("data", () => begun.resolve());
      response.on("error", () => undefined);
      response.once("close", () => ended.resolve());
    },
  );
  request.on("error", (error) => begun.reject(error));
  request.end(signed.body);
  await begun.promise;
  return {
    ended: ended.promise,
    halfClose: () => void request.socket?.end(),
    destroy: () => void request.destroy(),
  };
}

/** Waits until something holds, at most so long. @returns whether it did. */
export async function within(timeoutMs: number, holds: () => boolean | Promise<boolean>): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while (!(await holds()) && performance.now() < endMs)
    await new Promise((resolve) => setTimeout(resolve, 20));
  return holds();
}

function signChat(access: ModelAccess, agent: TestInstance, text: string, more: object = {}) {
  return signedModelCall(access, agent, { path: "/v1/chat/completions", body: chatOf(text, more) });
}

function gatewayOf({ server }: ModelAccess): string {
  return server.gatewayUrl ?? "";
}
