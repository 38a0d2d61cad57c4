/** What performs a call of each kind. A protocol that needs more than passing on has a performer of its own. */
import type { Services } from "../http/services.ts";
import { a2aPartsOf } from "./a2a/create-a2a.ts";
import { createA2aPerformer } from "./a2a/perform-a2a.ts";
import { performDisclosed } from "./disclosed.ts";
import { performLlm } from "./llm/perform-llm.ts";
import { mcpPartsOf } from "./mcp/create-mcp.ts";
import { createMcpPerformer } from "./mcp/perform.ts";
import { passOn } from "./pass-on.ts";
import type { AllowedCall, Performer } from "./ports.ts";
import { performPostgresql } from "./postgresql/perform-postgresql.ts";

/** @see `Performer` */
export async function performCall(services: Services, call: AllowedCall): Promise<void> {
  const payloads = services.sharing.isShared ? null : services.payloads;
  return performDisclosed(call, performerOf(services, call), payloads);
}

function performerOf(services: Services, { arrival }: AllowedCall): Performer {
  switch (arrival.upstream.kind) {
    case "http":
      return passOn;
    case "mcp":
      return createMcpPerformer(mcpPartsOf(services));
    case "openai":
    case "anthropic": {
      const { kind } = arrival.upstream;
      return (call) => performLlm(kind, call);
    }
    case "postgresql":
      return (call) => performPostgresql(services, call);
    case "a2a":
      return createA2aPerformer(a2aPartsOf(services));
    case "egress":
      throw new Error("their planners refuse every call of this form");
  }
}
