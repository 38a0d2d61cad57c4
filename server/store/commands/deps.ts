/** What the commands work with: keys, limits and rules, made once by the writer. */

import type { ActionClasses } from "@trustwarden/core/action.ts";
import type { AuthoritySlot } from "@trustwarden/core/agentid/authority-slots.ts";
import type { DelegationMode } from "@trustwarden/core/agentid/delegation.ts";
import { parseTrustDomain, type TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { CaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { KeptKeyPlace, SigningKey, TakeKept, TokenAccess } from "../authority-ports.ts";
import type { ControlDraft } from "../ports.ts";
import { SigningAuthority } from "./signing-authority.ts";

/** How much one owner may have; counted in the transaction that adds to it. */
export interface Quotas {
  /** Registered agents that are not revoked. */
  readonly agentsPerOwner: number;
  /** Instances that are neither revoked nor expired. */
  readonly liveInstancesPerOwner: number;
  /** New instances within any 60 minutes: what bounds a loop of create and revoke. */
  readonly issuesPerOwnerPerHour: number;
  /** New agents that no agent made, within any 60 seconds, before one more costs work. */
  readonly easyAgentsPerOwnerPerMinute: number;
}

/** The rules of issuance that an operator sets. */
export interface IssuingRules {
  readonly quotas: Quotas;
  readonly delegationMode: DelegationMode;
  /** From the policy data; decides who gets the shorter SVIDs. */
  readonly classes: ActionClasses;
  /** Largest ledger entry; a command whose event would be larger is refused before it commits. */
  readonly maxEntryBytes: number;
}

/** Keys and names as they cross into the writer's thread. Private keys are unencrypted PKCS#8: memory only. */
export interface IssuingKeys {
  readonly trustDomain: string;
  /** Founds the trust domain when the state has no authority yet. */
  readonly firstAuthority: readonly AuthoritySlot[];
  /** By the id of their slot: every key that signs here or may come to. */
  readonly signingKeys: Readonly<Record<string, SigningKey>>;
  /** The hardware token that holds keys which are in no file; null without one. */
  readonly token: TokenAccess | null;
  /** Where keys come that other servers of the store made; null where nobody else makes any. */
  readonly kept: KeptKeyPlace | null;
  /** `iss` of JWT-SVIDs. */
  readonly jwtIssuer: string;
  readonly serverKeyPkcs8: Uint8Array;
}

/** Everything a command needs besides its transaction. */
export interface CommandDeps {
  readonly trustDomain: TrustDomain;
  readonly authority: SigningAuthority;
  /** Takes in keys that other servers of the store made; null where nobody does. */
  readonly takeKept: TakeKept | null;
  /** The five of this moment; they change with the authority. */
  readonly intermediate: CaCertificate;
  readonly intermediateSigner: Signer;
  readonly jwtSigner: Signer;
  readonly jwtKid: string;
  /** Signs WIT-SVIDs; null where none are issued. */
  readonly wit: { readonly signer: Signer; readonly kid: string } | null;
  readonly jwtIssuer: string;
  readonly serverSigner: Signer;
  readonly serverSpki: Uint8Array;
  /** base64url SHA-256 of `serverSpki`. */
  readonly serverKeySha256: string;
  /** SVIDs of the server that this process issued, oldest first, each with the outbox row of its event; null until it has one. */
  readonly ownSvids: Map<string, number | null>;
  readonly random: Random;
  readonly rules: IssuingRules;
}

/** What a command gives back: its value, and what the ledger is to be told. */
export interface CommandResult<T> {
  readonly value: T;
  readonly draft: ControlDraft;
}

/**
 * The dependencies of the commands, keys opened.
 *
 * @throws TrustWardenError `spiffe_id_malformed`, `svid_malformed`, `svid_untrusted` or `config_invalid`.
 */
export function createCommandDeps(options: {
  readonly keys: IssuingKeys;
  readonly rules: IssuingRules;
  readonly random: Random;
  readonly openSigner: (key: SigningKey) => Signer;
  readonly takeKept?: TakeKept | null;
}): CommandDeps {
  const { keys, rules, random, openSigner, takeKept = null } = options;
  const trustDomain = parseTrustDomain(keys.trustDomain);
  const serverSigner = openSigner({ kind: "sealed", pkcs8: keys.serverKeyPkcs8 });
  const serverSpki = encodeSpki(serverSigner.publicKey);
  const authority = new SigningAuthority({ trustDomain, openSigner, token: keys.token });
  for (const [id, key] of Object.entries(keys.signingKeys)) authority.learn(id, key);
  return {
    trustDomain,
    authority,
    takeKept,
    get intermediate() {
      return authority.inUse.intermediate;
    },
    get intermediateSigner() {
      return authority.inUse.intermediateSigner;
    },
    get jwtSigner() {
      return authority.inUse.jwtSigner;
    },
    get jwtKid() {
      return authority.inUse.jwtKid;
    },
    get wit() {
      return authority.inUse.wit;
    },
    jwtIssuer: keys.jwtIssuer,
    serverSigner,
    serverSpki,
    serverKeySha256: encodeBase64url(sha256(serverSpki)),
    ownSvids: new Map(),
    random,
    rules,
  };
}

/** Unix seconds of a context's time. */
export function secondsOf(context: { readonly nowMs: number }): number {
  return Math.floor(context.nowMs / 1000);
}
