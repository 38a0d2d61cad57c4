/** What the operator says about an agent of another's behind the gateway, parsed. Closed, like every settings object. */
import { parseSpiffeId, type SpiffeId } from "../../agentid/spiffe-id.ts";
import { TrustWardenError } from "../../error.ts";
import { Fields } from "../../fields.ts";
import type { JsonObject } from "../../json.ts";
import type { Disclosure } from "../disclosure.ts";
import { TAINT_LABELS, type TaintLabel } from "../plan.ts";

const PATH = /^(?:\/[A-Za-z0-9._~-]+)+\/?$|^\/$/;
const MAX_RECHECK_SECONDS = 3600;
const DEFAULT_RECHECK_SECONDS = 60;
const CODE = "upstream_malformed";

/** Bindings in which an agent is called, by their names in agent cards. */
export const A2A_BINDINGS = ["JSONRPC", "HTTP+JSON"] as const;
export type A2aBinding = (typeof A2A_BINDINGS)[number];

export interface A2aSettings {
  /** Path of the agent's interface below the upstream's URL. */
  readonly endpoint: string;
  /** How the agent itself is called; callers speak JSON-RPC to the gateway in any case. */
  readonly binding: A2aBinding;
  /** Path of the agent card below it. */
  readonly card: string;
  /** Who must have signed the card: an instance's SPIFFE ID or the one of its agent above it; null for nobody. */
  readonly signer: SpiffeId | null;
  /** Labels that its answers bring. */
  readonly reads: readonly TaintLabel[];
  /** Whether a message to it leaves the trust domain. */
  readonly writesOutside: boolean;
  /** How old the gateway's last look at the card may be. */
  readonly recheckSeconds: number;
  /** Of messages and their answers. */
  readonly disclose: Disclosure;
}

/** Parsed once for each settings object; settings are never changed in place. */
const parsed = new WeakMap<JsonObject, A2aSettings>();

/** @throws TrustWardenError `upstream_malformed`. */
export function parseA2aSettings(json: JsonObject): A2aSettings {
  const known = parsed.get(json);
  if (known !== undefined) return known;
  const defaults = {
    endpoint: "/",
    binding: "JSONRPC",
    card: "/.well-known/agent-card.json",
    signer: null,
    reads: ["untrusted"],
    writes_outside: true,
    recheck_seconds: DEFAULT_RECHECK_SECONDS,
    disclose: "none",
  };
  const fields = new Fields({ ...defaults, ...json }, CODE, "settings.");
  const signer = fields.textOrNull("signer");
  const settings: A2aSettings = {
    endpoint: fields.matching("endpoint", PATH),
    binding: fields.oneOf("binding", A2A_BINDINGS),
    card: fields.matching("card", PATH),
    signer: signer === null ? null : parseSigner(signer),
    reads: fields
      .texts("reads")
      .map((label) => TAINT_LABELS.find((one) => one === label) ?? fields.refuse("reads")),
    writesOutside: fields.boolean("writes_outside"),
    recheckSeconds: fields.integer("recheck_seconds", MAX_RECHECK_SECONDS),
    disclose: fields.oneOf("disclose", ["none", "full"]),
  };
  fields.end();
  parsed.set(json, settings);
  return settings;
}

function parseSigner(text: string): SpiffeId {
  try {
    return parseSpiffeId(text);
  } catch (cause) {
    throw new TrustWardenError(CODE, { field: "settings.signer" }, { cause });
  }
}
