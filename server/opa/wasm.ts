/**
 * Evaluates a compiled Rego policy in this process, by OPA's own Wasm.
 *
 * The module is compiled and instantiated once; an evaluation costs microseconds and cannot reach anything, because
 * the module imports nothing but its memory and pure functions. It can, however, run for long: use it for the built-in
 * policy, whose work is bounded by its input, and `worker-engine.ts` for policies that somebody else wrote.
 *
 * @see https://www.openpolicyagent.org/docs/wasm
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { formatPolicyDigest } from "@trustwarden/core/agentledger/evidence-policies.ts";
import { formatPolicyName, parsePolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import type { PolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeCanonicalJson, type Json, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";

/** Several times the largest input that `parsePolicyInput` lets through. */
const MAX_INPUT_BYTES = 1_048_576;
/** 64 KiB each: 512 KiB to start with, and 32 MiB at most, so that no policy eats the server's memory. */
const MEMORY_PAGES = { initial: 8, maximum: 512 };
/** The rule that the built-in policy answers with. */
export const DEFAULT_ENTRYPOINT = "trustwarden/decision/result";

/** A module that is compiled and can be instantiated many times. */
export interface CompiledModule {
  readonly [Symbol.toStringTag]: string;
}

/** The part of the package that is used here. Its ESM entry and its types disagree, so the CommonJS entry is loaded. */
interface OpaWasm {
  loadPolicySync(
    wasm: Uint8Array | CompiledModule,
    memory: { initial: number; maximum: number },
  ): LoadedPolicy;
}

/** A module that is instantiated, with its data. */
export interface LoadedPolicy {
  readonly entrypoints: Readonly<Record<string, number>>;
  readonly mem: { readonly buffer: ArrayBuffer };
  readonly wasmInstance: { readonly exports: Readonly<Record<string, unknown>> };
  /** Where the data is, and where what an evaluation needs begins. */
  readonly dataAddr: number;
  readonly dataHeapPtr: number;
  setData(data: JsonObject): void;
  evaluate(input: ArrayBuffer, entrypoint: string): unknown;
}

const opa: OpaWasm = createRequire(import.meta.url)("@open-policy-agent/opa-wasm");

export interface WasmEngineOptions {
  /** Path of the `.wasm` that `opa build` made, or its bytes. */
  readonly wasmPath: string | Uint8Array;
  /** What the policy sees as `data`. */
  readonly data: JsonObject;
  /** Path of the rule that answers `{ allow, reasons, policy }`. */
  readonly entrypoint?: string;
  /** What the policy answers as `policy`; by default the name and version in the built-in policy's data. */
  readonly name?: string;
  /** The only functions that the module may ask of its host; all unless given. */
  readonly hostBuiltins?: readonly string[];
}

/** An engine that can be asked for its other entrypoints too. */
export interface WasmEngine extends PolicyEngine {
  readonly entrypoints: readonly string[];
  /** The value of an entrypoint, or undefined when it has none. @throws TrustWardenError `policy_unavailable`. */
  evaluateAt(entrypoint: string, input: Json): unknown;
}

/**
 * An engine with the policy loaded; changes of the file on disk do not reach it.
 *
 * @throws TrustWardenError `policy_unavailable` when the module cannot be read, compiled or started, or has no such
 *   entrypoint; `policy_data_malformed` when the name has to come from the data and is not there.
 */
export function createWasmEngine(options: WasmEngineOptions): WasmEngine {
  const { wasmPath, data, entrypoint = DEFAULT_ENTRYPOINT, hostBuiltins } = options;
  const name = options.name ?? formatPolicyName(parsePolicyData(data));
  const bytes = typeof wasmPath === "string" ? readModule(wasmPath) : wasmPath;
  let instance = instantiate(bytes, data, entrypoint);
  if (hostBuiltins !== undefined) requireKnownBuiltins(instance, hostBuiltins);
  const evaluateAt = (at: string, input: Json | PolicyInput): unknown => {
    const text = encodeInput(input);
    const evaluateOnce = (encoded: ArrayBuffer): unknown => resultOf(instance.evaluate(encoded, at));
    try {
      return evaluateOnce(text);
    } catch (cause) {
      // A trap may leave the instance's memory half written; the next question gets a new one.
      instance = instantiate(bytes, data, entrypoint);
      throw new TrustWardenError("policy_unavailable", { reason: "trap" }, { cause });
    }
  };
  return {
    policy: { name, bundleSha256: formatPolicyDigest({ wasm: bytes, data: encodeCanonicalJson(data) }) },
    entrypoints: Object.keys(instance.entrypoints),
    evaluate: (input) => evaluateAt(entrypoint, input),
    evaluateAt,
  };
}

/**
 * Refuses a module that asks its host for more than it may: `opa build` with the capabilities of `policies/` makes
 * none, but not everybody who signs has to have built that way (E9).
 *
 * @throws TrustWardenError `policy_refused`.
 */
export function requireKnownBuiltins({ mem, wasmInstance }: LoadedPolicy, known: readonly string[]): void {
  const { builtins, opa_json_dump: dump } = wasmInstance.exports;
  if (typeof builtins !== "function" || typeof dump !== "function") throw new Error("no module of OPA");
  const at = Number(dump(builtins()));
  const memory = new Uint8Array(mem.buffer);
  const asked = parseJsonObject(parseUtf8(memory.slice(at, memory.indexOf(0, at))));
  const unknown = Object.keys(asked).filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new TrustWardenError("policy_refused", { builtins: unknown.slice(0, 8) });
}

function readModule(wasmPath: string): Uint8Array {
  try {
    return readFileSync(wasmPath);
  } catch (cause) {
    throw new TrustWardenError("policy_unavailable", { reason: "not readable", wasmPath }, { cause });
  }
}

/** A fresh instance of the module with its data. @throws TrustWardenError `policy_unavailable`. */
export function instantiate(
  wasm: Uint8Array | CompiledModule,
  data: JsonObject,
  entrypoint: string,
): LoadedPolicy {
  try {
    const policy = opa.loadPolicySync(wasm, { ...MEMORY_PAGES });
    if (!Object.hasOwn(policy.entrypoints, entrypoint)) throw new Error("no such entrypoint");
    policy.setData(data);
    return policy;
  } catch (cause) {
    throw new TrustWardenError("policy_unavailable", { reason: "not loadable", entrypoint }, { cause });
  }
}

/** OPA answers with a result set: one member when the rule is defined, none when it is not. */
export function resultOf(answer: unknown): unknown {
  if (!Array.isArray(answer) || answer.length !== 1) return undefined;
  const [only]: unknown[] = answer;
  return typeof only === "object" && only !== null && "result" in only ? only.result : undefined;
}

function encodeInput(input: Json | PolicyInput): ArrayBuffer {
  const bytes = encodeUtf8(JSON.stringify(input));
  if (bytes.length > MAX_INPUT_BYTES)
    throw new TrustWardenError("request_too_large", { bytes: bytes.length });
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}
