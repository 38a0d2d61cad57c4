/**
 * Loads the built-in policy from the `policies/` folder, exactly as it was built and checked in.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { PolicyMaterial } from "@trustwarden/core/agentledger/evidence-policies.ts";
import { type PolicyData, parsePolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { createWasmEngine } from "./wasm.ts";

/** The policy, running, and the data that it and the guard share. */
export interface BuiltinPolicy {
  readonly engine: PolicyEngine;
  /** `data.classes` is what `classOf` takes. */
  readonly data: PolicyData;
  /** Code and data as they decide, for evidence. */
  readonly material: PolicyMaterial;
}

/**
 * The built-in policy.
 *
 * @param directory - Path of `policies/`, holding `decision.wasm`, `decision.json` and `trustwarden/data.json`.
 * @throws TrustWardenError `policy_tampered` when the module is not the one that the manifest names;
 *   `policy_data_malformed`; `policy_unavailable`.
 */
export function createBuiltinPolicy(directory: string): BuiltinPolicy {
  const wasmPath = join(directory, "decision.wasm");
  requireAsBuilt(wasmPath, join(directory, "decision.json"));
  const document = readJson(join(directory, "trustwarden", "data.json"));
  const data = parsePolicyData(document);
  const material = { wasm: new Uint8Array(readBytes(wasmPath)), data: encodeCanonicalJson(document) };
  return { engine: createWasmEngine({ wasmPath: material.wasm, data: document }), data, material };
}

/** A half-finished update, a module without its source or the reverse, must not start. */
function requireAsBuilt(wasmPath: string, manifestPath: string): void {
  const { wasm_sha256: expected } = readJson(manifestPath);
  const actual = encodeHex(sha256(readBytes(wasmPath)));
  if (expected !== actual) throw new TrustWardenError("policy_tampered", { wasmPath, actual });
}

function readJson(path: string): JsonObject {
  return parseJsonObject(readBytes(path).toString("utf8"));
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new TrustWardenError("policy_unavailable", { reason: "not readable", path }, { cause });
  }
}
