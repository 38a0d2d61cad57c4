/**
 * Asks a compiled Rego policy a question of which some members are not there to be seen.
 *
 * Such a member is put into the module's input as an address outside its memory: whatever reads it, compares it or passes
 * it on to a function traps, so that an answer which comes all the same rests on nothing but the rest. Leaving the member
 * out would be a guess: in Rego what is missing is undefined, and a rule about it then quietly does not hold.
 *
 * @see https://www.openpolicyagent.org/docs/wasm (`opa_value_add_path`, the evaluation context)
 */
import { formatPolicyDigest } from "@trustwarden/core/agentledger/evidence-policies.ts";
import type { PolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import type { Unrecorded, UnseeingEngine } from "@trustwarden/core/agentscope/replay.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeCanonicalJson, type Json, type JsonObject, parseJson } from "@trustwarden/core/json.ts";
import {
  type CompiledModule,
  instantiate,
  type LoadedPolicy,
  requireKnownBuiltins,
  resultOf,
} from "./wasm.ts";

/** The part of the engine's own object that is used here; the server has no types of it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => CompiledModule;
  readonly RuntimeError: new () => Error;
};

/** Beyond the 32 MiB that a module may have, and told apart, since equal addresses would be equal values. */
const FIRST_POISON = 0xf000_0000;
const POISON_STEP = 4096;
/** Larger than any answer that is one; OPA ends its texts with a zero. */
const MAX_ANSWER_BYTES = 65_536;

const PATHS: Readonly<Record<Unrecorded, readonly string[]>> = {
  arguments: ["arguments"],
  labels: ["labels"],
  outside: ["outside"],
  frozen: ["frozen"],
  selectors: ["agent", "attested", "selectors"],
  // Not a member of the input: asked about before any policy is.
  policy: [],
};

export interface UnseeingOptions {
  readonly wasm: Uint8Array;
  readonly data: JsonObject;
  readonly entrypoint: string;
  /** What the answer names as its policy. */
  readonly name: string;
  /** The only functions that the module may ask of its host. */
  readonly hostBuiltins: readonly string[];
}

/** What is not there to be seen was looked at. */
class SeenError extends Error {}

/** @throws TrustWardenError `policy_unavailable`, `policy_refused`. */
export function createUnseeingEngine(options: UnseeingOptions): UnseeingEngine {
  const { wasm, data, entrypoint, name, hostBuiltins } = options;
  let instance = instantiate(wasm, data, entrypoint);
  requireKnownBuiltins(instance, hostBuiltins);
  const module = new WebAssembly.Module(Uint8Array.from(wasm));
  const ask = (question: PolicyInput, hidden: readonly Unrecorded[]): unknown => {
    try {
      return evaluate(instance, { question, hidden, entrypoint });
    } catch (cause) {
      // A trap may leave the instance's memory half written; the next question gets a new one.
      instance = instantiate(module, data, entrypoint);
      if (isOutOfMemory(cause)) throw new SeenError("a hidden member was read", { cause });
      throw new TrustWardenError("policy_unavailable", { reason: "trap" }, { cause });
    }
  };
  const isSeen = (question: PolicyInput, hidden: readonly Unrecorded[]): boolean => {
    try {
      ask(question, hidden);
      return false;
    } catch (error) {
      if (error instanceof SeenError) return true;
      throw error;
    }
  };
  return {
    policy: { name, bundleSha256: formatPolicyDigest({ wasm, data: encodeCanonicalJson(data) }) },
    answer: ({ question, unrecorded }) => {
      try {
        return { kind: "answer", answer: withName(ask(question, unrecorded), name) };
      } catch (error) {
        if (!(error instanceof SeenError)) throw error;
        // Without any hidden member it must not trap: such a policy answers nothing, which the caller is told.
        if (isSeen(question, [])) throw new TrustWardenError("policy_unavailable", { reason: "trap" });
        const members = unrecorded.filter((member) => isSeen(question, [member]));
        return { kind: "needs", members: members.length === 0 ? unrecorded : members };
      }
    },
  };
}

/** One evaluation in a heap that begins anew. @throws WebAssembly.RuntimeError when a hidden member is read. */
function evaluate(
  { wasmInstance, entrypoints, mem, dataAddr, dataHeapPtr }: LoadedPolicy,
  asked: {
    readonly question: PolicyInput;
    readonly hidden: readonly Unrecorded[];
    readonly entrypoint: string;
  },
): unknown {
  const call = (name: string, ...args: readonly number[]): number => {
    const exported = wasmInstance.exports[name];
    if (typeof exported !== "function") throw new Error(`the module has no ${name}`);
    return Number(exported(...args));
  };
  const load = (value: unknown): number => {
    const bytes = encodeUtf8(JSON.stringify(value));
    const at = call("opa_malloc", bytes.length);
    new Uint8Array(mem.buffer).set(bytes, at);
    const loaded = call("opa_json_parse", at, bytes.length);
    if (loaded === 0) throw new Error("the module cannot read its input");
    return loaded;
  };
  call("opa_heap_ptr_set", dataHeapPtr);
  const input = load(asked.question);
  for (const [at, member] of asked.hidden.entries()) {
    const path = PATHS[member];
    const refused = call("opa_value_add_path", input, load(path), FIRST_POISON + at * POISON_STEP);
    if (path.length === 0 || refused !== 0) throw new Error(`${member} cannot be hidden`);
  }
  const context = call("opa_eval_ctx_new");
  call("opa_eval_ctx_set_input", context, input);
  call("opa_eval_ctx_set_data", context, dataAddr);
  call("opa_eval_ctx_set_entrypoint", context, entrypoints[asked.entrypoint] ?? 0);
  call("eval", context);
  const at = call("opa_json_dump", call("opa_eval_ctx_get_result", context));
  const text = new Uint8Array(mem.buffer).slice(at, at + MAX_ANSWER_BYTES);
  return resultOf(parseJson(parseUtf8(text.subarray(0, text.indexOf(0)))));
}

/** An address outside the memory is the only way to this error that Rego has. */
function isOutOfMemory(cause: unknown): boolean {
  return cause instanceof WebAssembly.RuntimeError && cause.message.includes("out of bounds");
}

/** The name is the manifest's and no rule's; odd answers stay odd. */
function withName(answer: unknown, policy: string): unknown {
  const isPlain = typeof answer === "object" && answer !== null && !("policy" in answer);
  const named: Readonly<Record<string, Json>> = { policy };
  return isPlain ? { ...answer, ...named } : undefined;
}
