/**
 * What operators do to secrets. Values come in, are sealed and go; nothing here gives one out.
 *
 * A change that seals names the revision that it read, so that two at the same time cannot leave a version that is
 * bound to something else than what stands beside it.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { SecretChange, SecretKind, SecretState } from "../store/broker-ports.ts";
import type { CommandContext } from "../store/ports.ts";
import type { BrokerDeps } from "./deps.ts";
import { openVersion, rewrapVersion, sealVersion } from "./envelope.ts";
import { bindingOf } from "./opened.ts";
import {
  formatSettings,
  parseSecretName,
  parseValueOf,
  readSettings,
  type SecretSettings,
} from "./settings.ts";

/** Versions under a new key in one command. */
const REWRAP_BATCH = 200;

/** Who asks, and why. */
export interface SecretOrder {
  readonly context: CommandContext;
  readonly reason: string;
}

/** A new secret. */
export interface NewSecret {
  readonly name: string;
  readonly kind: SecretKind;
  readonly settings: SecretSettings;
  readonly value: string;
}

/** How far a rotation of the key-encryption key is. */
export interface KeyProgress {
  /** The key in use; null before the first secret. */
  readonly keyId: string | null;
  /** Versions under older keys, or keys that are not here. */
  readonly remaining: number;
  /** Versions under each key. */
  readonly keys: readonly { readonly id: string; readonly versions: number; readonly isHere: boolean }[];
}

/** Owns nothing but the order of changes; the state is in the store. */
export class SecretAdministration {
  readonly #deps: BrokerDeps;
  /** Told of every committed change, before its event is in the ledger: a stop takes effect first. */
  readonly #onChanged: (
    secret: Pick<SecretState, "secretId" | "kind">,
    change: SecretChange["change"],
  ) => Promise<void>;

  constructor(
    deps: BrokerDeps,
    onChanged: (
      secret: Pick<SecretState, "secretId" | "kind">,
      change: SecretChange["change"],
    ) => Promise<void>,
  ) {
    this.#deps = deps;
    this.#onChanged = onChanged;
  }

  /** @throws TrustWardenError `secret_malformed`, `secret_exists`, `secret_conflict` while keys change, `quota_exceeded`. */
  async put(secret: NewSecret, order: SecretOrder): Promise<SecretState> {
    const name = parseSecretName(secret.name);
    const value = parseValueOf(secret.value, secret.kind, secret.settings);
    await this.#followKeys();
    await this.#ensureKey();
    const secretId = `sec_${formatUlid(this.#deps.nowMs(), this.#deps.random)}`;
    const settings = formatSettings(secret.settings);
    const identity = { secretId, name, kind: secret.kind, settings };
    const newestKey = this.#newestKey();
    const sealed = await sealVersion(value, { ...bindingOf(identity, this.#deps), version: 1 }, this.#deps);
    return this.#change({ change: "put", ...identity, sealed, newestKey }, order);
  }

  /**
   * The next version; the one before stays for the grace period, for rolling back and for finding its echoes.
   *
   * @param revision - the one that it may replace; whichever there is unless given.
   * @throws TrustWardenError `not_found`, `secret_malformed`, `secret_conflict`.
   */
  async rotate(
    {
      name,
      value,
      graceSeconds,
      revision,
    }: {
      readonly name: string;
      readonly value: string;
      readonly graceSeconds: number;
      readonly revision?: number;
    },
    order: SecretOrder,
  ): Promise<SecretState> {
    await this.#followKeys();
    const state = this.#get(name);
    if (revision !== undefined && revision !== state.revision)
      throw new TrustWardenError("secret_conflict", { name, revision: state.revision });
    const sealed = await this.#sealNext(state, parseValueOf(value, state.kind, readSettings(state)));
    return this.#change({ change: "rotate", name, revision: state.revision, sealed, graceSeconds }, order);
  }

  /** The version before, as the next one. @throws TrustWardenError `secret_conflict` when none is left. */
  async rollback(
    { name, graceSeconds }: { readonly name: string; readonly graceSeconds: number },
    order: SecretOrder,
  ): Promise<SecretState> {
    await this.#followKeys();
    const state = this.#get(name);
    const now = Math.floor(this.#deps.nowMs() / 1000);
    const before = state.versions.find(({ endsAt }) => endsAt !== null && endsAt > now);
    if (before === undefined)
      throw new TrustWardenError("secret_conflict", { name, reason: "no version before" });
    const sealed = await this.#sealNext(
      state,
      await openVersion(before, bindingOf(state, this.#deps), this.#deps),
    );
    return this.#change({ change: "rollback", name, revision: state.revision, sealed, graceSeconds }, order);
  }

  /** Other upstreams, agents or injection: every version is sealed again. @throws TrustWardenError `not_found`. */
  async bind(name: string, settings: SecretSettings, order: SecretOrder): Promise<SecretState> {
    await this.#followKeys();
    const state = this.#get(name);
    const bound = { ...state, settings: formatSettings(settings) };
    const sealed = await Promise.all(
      state.versions.map(async (version) => {
        const value = await openVersion(version, bindingOf(state, this.#deps), this.#deps);
        return sealVersion(value, { ...bindingOf(bound, this.#deps), version: version.version }, this.#deps);
      }),
    );
    const { settings: text } = bound;
    return this.#change({ change: "scope", name, revision: state.revision, settings: text, sealed }, order);
  }

  /** Takes effect with the commit: what is under way ends, nothing begins. @throws TrustWardenError `not_found`. */
  async stop(name: string, change: "disable" | "delete", order: SecretOrder): Promise<SecretState> {
    return this.#change({ change, name }, order);
  }

  /** @throws TrustWardenError `not_found`. */
  async enable(name: string, order: SecretOrder): Promise<SecretState> {
    return this.#change({ change: "enable", name }, order);
  }

  /** Destroys the versions whose grace is over. */
  async expire(order: SecretOrder): Promise<void> {
    const now = Math.floor(this.#deps.nowMs() / 1000);
    for (const { name, versions } of this.#deps.reads.listSecrets()) {
      const isOver = versions.some(({ endsAt }) => endsAt !== null && endsAt <= now);
      if (isOver) await this.#change({ change: "expire", name }, order);
    }
  }

  /** Makes the next key-encryption key; `rewrap` brings the data keys under it. @throws TrustWardenError `secret_unavailable`. */
  async beginKeyRotation(): Promise<string> {
    await this.#followKeys();
    return this.#deps.keys.create();
  }

  /**
   * Brings some data keys under the key in use, and destroys older keys that have none left.
   *
   * @throws TrustWardenError `secret_unavailable` when one does not open.
   */
  async rewrap(order: SecretOrder): Promise<KeyProgress> {
    const { keys, reads, commands, settle } = this.#deps;
    await this.#followKeys();
    const keyId = await this.#ensureKey();
    const stale = reads
      .listSecrets()
      .flatMap((state) =>
        state.versions.filter((version) => version.keyId !== keyId).map((version) => ({ state, version })),
      );
    const batch = await Promise.all(
      stale.slice(0, REWRAP_BATCH).map(async ({ state, version }) => ({
        name: state.name,
        revision: state.revision,
        version: version.version,
        ...(await rewrapVersion(version, bindingOf(state, this.#deps), this.#deps)),
      })),
    );
    const { payloads } = this.#deps;
    if (payloads.keyId() !== null && payloads.keyId() !== keyId) await payloads.rewrap();
    await settle(await commands.changeSecret({ change: "rewrap", keyId, keys: batch, ...order }));
    await this.#followKeys();
    const progress = this.keyProgress();
    // A newer one is somebody else's rotation that has just begun.
    for (const { id, versions } of progress.keys) if (id < keyId && versions === 0) await keys.remove(id);
    return this.keyProgress();
  }

  keyProgress(): KeyProgress {
    const here = this.#deps.keys.ids();
    const keyId = here.at(-1) ?? null;
    const secrets = this.#keysInUse();
    const payloads = this.#deps.payloads.keyId();
    const used = payloads === null ? secrets : [...secrets, payloads];
    const ids = [...new Set([...here, ...used])].toSorted();
    return {
      keyId,
      remaining: used.filter((id) => id !== keyId).length,
      keys: ids.map((id) => ({
        id,
        versions: used.filter((one) => one === id).length,
        isHere: here.includes(id),
      })),
    };
  }

  #keysInUse(): readonly string[] {
    return this.#deps.reads.listSecrets().flatMap(({ versions }) => versions.map(({ keyId }) => keyId));
  }

  #newestKey(): string | null {
    return this.#keysInUse().toSorted().at(-1) ?? null;
  }

  #get(name: string): SecretState {
    const state = this.#deps.reads.findSecret(name);
    if (state === undefined) throw new TrustWardenError("not_found", { name });
    return state;
  }

  #sealNext(state: SecretState, value: string) {
    const version = (state.versions[0]?.version ?? 0) + 1;
    return sealVersion(value, { ...bindingOf(state, this.#deps), version }, this.#deps);
  }

  /** Where several servers share the store, others may have made the key in use, or destroyed it. */
  async #followKeys(): Promise<void> {
    await this.#deps.shared?.followKeys();
  }

  async #ensureKey(): Promise<string> {
    return this.#deps.keys.ids().at(-1) ?? this.beginKeyRotation();
  }

  async #change(
    change: Exclude<SecretChange, { readonly change: "rewrap" }>,
    order: SecretOrder,
  ): Promise<SecretState> {
    const before = this.#deps.reads.findSecret(change.name);
    const committed = await this.#deps.commands.changeSecret({ ...change, ...order });
    const state = committed.value ?? before;
    if (state === undefined) throw new Error("a secret that was changed was known");
    await this.#onChanged(state, change.change);
    await this.#deps.settle(committed);
    // What was sealed under a key that another server destroyed meanwhile has it given again.
    await this.#followKeys();
    return state;
  }
}
