/**
 * Opened secrets, for as long as a burst of calls takes and no longer: opening one may ask a cloud's KMS, and the
 * automaton that finds its echoes is the secret in another form.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { SecretState } from "../store/broker-ports.ts";
import type { BrokerDeps } from "./deps.ts";
import { Automaton } from "./echo/automaton.ts";
import { formsOf } from "./echo/forms.ts";
import { type Binding, openVersion } from "./envelope.ts";
import type { RequestProver } from "./ports.ts";

/** From the first use. */
const KEPT_MS = 5000;

/** A secret in the clear. Never logged, never kept by whoever gets it. */
export interface OpenedSecret {
  /** The version in use. */
  readonly value: string;
  /** Finds every version that is not destroyed yet. */
  readonly echoes: Automaton;
  /** Of a token that is bound to a key of ours. */
  readonly dpop?: RequestProver;
}

interface Kept {
  readonly revision: number;
  readonly opened: Promise<OpenedSecret>;
  readonly timer: NodeJS.Timeout;
}

/** Owns what is open. An entry is of one revision: any change of the secret makes it useless at once. */
export class OpenedSecrets {
  readonly #deps: BrokerDeps;
  readonly #kept = new Map<string, Kept>();

  constructor(deps: BrokerDeps) {
    this.#deps = deps;
  }

  /** @throws TrustWardenError `secret_unavailable`. */
  open(state: SecretState): Promise<OpenedSecret> {
    const known = this.#kept.get(state.secretId);
    if (known !== undefined && known.revision === state.revision) return known.opened;
    this.forget(state.secretId);
    const opened = openAll(state, this.#deps);
    const timer = setTimeout(() => this.forget(state.secretId), KEPT_MS).unref();
    this.#kept.set(state.secretId, { revision: state.revision, opened, timer });
    // A failure is not kept: the key may be there the next time.
    opened.catch(() => this.forget(state.secretId));
    return opened;
  }

  forget(secretId: string): void {
    clearTimeout(this.#kept.get(secretId)?.timer);
    this.#kept.delete(secretId);
  }

  close(): void {
    for (const secretId of [...this.#kept.keys()]) this.forget(secretId);
  }
}

/** What the versions of a secret are bound to. */
export function bindingOf(
  { secretId, name, kind, settings }: Pick<SecretState, "secretId" | "name" | "kind" | "settings">,
  { trustDomain, deployment }: BrokerDeps,
): Omit<Binding, "version"> {
  return { trustDomain, deployment: deployment(), secretId, name, kind, settings };
}

/** Values of the versions that are not over, latest first. @throws TrustWardenError `secret_unavailable`. */
export async function openValues(state: SecretState, deps: BrokerDeps): Promise<readonly string[]> {
  const now = Math.floor(deps.nowMs() / 1000);
  const live = state.versions.filter(({ endsAt }) => endsAt === null || endsAt > now);
  return Promise.all(live.map((version) => openVersion(version, bindingOf(state, deps), deps)));
}

async function openAll(state: SecretState, deps: BrokerDeps): Promise<OpenedSecret> {
  const values = await openValues(state, deps);
  const [value] = values;
  if (value === undefined) throw new TrustWardenError("secret_unavailable", { name: state.name });
  return {
    value,
    echoes: new Automaton(values.filter((one) => one !== "").flatMap((one) => formsOf(one, 0))),
  };
}
