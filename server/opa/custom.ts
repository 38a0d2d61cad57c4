/**
 * A policy that somebody else wrote: verified, loaded into a worker of its own, and asked beside the built-in one.
 *
 * `custom/result` answers `{ allow, reasons }` about actions of agents, where it can only take away or ask for a human.
 * `custom/authzen` may answer AuthZEN's questions about subjects that are not agents of ours, and `custom/candidates`
 * name what a search should look at. Whatever it answers oddly, or not in time, is a deny.
 */
import { gunzipSync } from "node:zlib";
import type { PolicyMaterial } from "@trustwarden/core/agentledger/evidence-policies.ts";
import {
  type BundleScope,
  formatBundleName,
  parseBundleData,
  parseManifest,
  type VerifiedBundle,
  verifyBundle,
} from "@trustwarden/core/agentscope/policy-bundle.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import { type Files, parseTar } from "@trustwarden/core/agentscope/tar.ts";
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeCanonicalJson, type JsonObject } from "@trustwarden/core/json.ts";
import { createWorkerEngine } from "./worker-engine.ts";

/** A bundle that unpacks to more is a bomb: the code of a policy takes about 200 KB. */
const MAX_UNPACKED_BYTES = 8_388_608;
const MODULE = "policy.wasm";
const ROOT = "custom";
const RESULT = "custom/result";
const AUTHZEN = "custom/authzen";
const CANDIDATES = "custom/candidates";
const MAX_CANDIDATES = 1000;

/** What a bundle is held against. */
export interface BundleRules {
  /** Keys in force by their id. */
  readonly keys: ReadonlyMap<string, PublicKey>;
  /** What a module may ask of its host. */
  readonly hostBuiltins: readonly string[];
  /** Milliseconds after which no answer is a deny. */
  readonly deadlineMs: number;
}

/** A custom policy that is ready to be asked. */
export interface CustomPolicy extends PolicyEngine {
  /** Whether a tuple about a subject that is not ours is allowed; undefined when the policy knows of no such subjects. */
  isAllowed(request: JsonObject): boolean | undefined;
  /** What a search of such subjects should look at. */
  candidates(search: JsonObject): readonly string[];
  close(): Promise<void>;
}

/** The files of a compressed bundle. @throws TrustWardenError `policy_bundle_malformed`. */
function unpackBundle(bundle: Uint8Array): Files {
  let archive: Uint8Array;
  try {
    archive = gunzipSync(bundle, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch (cause) {
    throw new TrustWardenError("policy_bundle_malformed", { reason: "not gzip, or too large" }, { cause });
  }
  return parseTar(archive);
}

/**
 * The bundle of a custom policy, proven.
 *
 * @throws TrustWardenError `policy_bundle_malformed`, `policy_bundle_unsigned`, `policy_bundle_untrusted`.
 */
export function verifyCustomBundle(bundle: Uint8Array, keys: BundleRules["keys"]): VerifiedBundle {
  const scope: BundleScope = "trustwarden-custom";
  const verified = verifyBundle(unpackBundle(bundle), { keys, scope });
  requireOwnRoot(verified.roots);
  return verified;
}

/** A policy that nobody has to have signed. */
export interface Draft extends Pick<VerifiedBundle, "name" | "version" | "data"> {
  readonly wasm: Uint8Array;
}

/** What a bundle holds, signed or not: for questions about it, never for decisions. @throws TrustWardenError `policy_bundle_malformed`. */
export function readDraft(bundle: Uint8Array): Draft {
  const files = unpackBundle(bundle);
  const { name, version, roots } = parseManifest(files);
  requireOwnRoot(roots);
  return { name, version, wasm: requireModule(files), data: parseBundleData(files) };
}

/** What is outside its root would be somebody else's data in an OPA that has several bundles. */
function requireOwnRoot(roots: readonly string[]): void {
  if (roots.join() !== ROOT) {
    throw new TrustWardenError("policy_bundle_malformed", { reason: `its root has to be ${ROOT}` });
  }
}

/** Code and data of a bundle that was proven before. @throws TrustWardenError `policy_bundle_malformed`. */
export function readCustomMaterial(bundle: Uint8Array): PolicyMaterial {
  const files = unpackBundle(bundle);
  return { wasm: requireModule(files), data: encodeCanonicalJson(parseBundleData(files)) };
}

function requireModule(files: Files): Uint8Array {
  const wasm = files.get(MODULE);
  if (wasm === undefined) throw new TrustWardenError("policy_bundle_malformed", { reason: `no ${MODULE}` });
  return wasm;
}

/**
 * Starts a worker with the policy of a proven bundle.
 *
 * @throws TrustWardenError `policy_bundle_malformed` without a module, `policy_refused`, `policy_unavailable`.
 */
export async function openCustomPolicy(
  { files, data, name, version }: VerifiedBundle,
  { hostBuiltins, deadlineMs }: Omit<BundleRules, "keys">,
): Promise<CustomPolicy> {
  const policyName = formatBundleName({ name, version });
  const engine = await createWorkerEngine({
    wasmPath: requireModule(files),
    data,
    entrypoint: RESULT,
    name: policyName,
    hostBuiltins,
    deadlineMs,
  });
  const has = (entrypoint: string): boolean => engine.entrypoints.includes(entrypoint);
  return {
    policy: engine.policy,
    evaluate: (input) => named(engine.evaluate(input), policyName),
    isAllowed: (request) => (has(AUTHZEN) ? engine.evaluateAt(AUTHZEN, request) === true : undefined),
    candidates: (search) => (has(CANDIDATES) ? texts(engine.evaluateAt(CANDIDATES, search)) : []),
    close: () => engine.close(),
  };
}

/** The answer with the name of its policy, which the signed manifest gives and no rule; odd answers stay odd. */
function named(answer: unknown, policy: string): unknown {
  const isPlain = typeof answer === "object" && answer !== null && !("policy" in answer);
  return isPlain ? { ...answer, policy } : undefined;
}

function texts(answer: unknown): readonly string[] {
  const isList = Array.isArray(answer) && answer.length <= MAX_CANDIDATES;
  if (!isList || !answer.every((name: unknown) => typeof name === "string")) {
    throw new TrustWardenError("policy_unavailable", { reason: "candidates" });
  }
  return answer;
}
