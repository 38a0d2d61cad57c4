/** For tests: our endpoint over identities in memory, for everybody but one user, and what may be wrong with them. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { issueJwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { issueWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { formatThumbprint } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { createDomain, createSigner, type Domain, encodePkcs8, issueSvid } from "../../interop/domain.ts";
import type {
  DeliveredSvid,
  DeliveredWit,
  WorkloadPeer,
  WorkloadSource,
  WorkloadState,
} from "../../node/ports.ts";
import { createWorkloadApi } from "../../node/workload-api/workload-api.ts";

const now = () => Math.floor(Date.now() / 1000);

/** A user without an identity. */
export const STRANGER_UID = 65_534;

/** What an endpoint would do wrong. */
export interface Faults {
  readonly state?: (state: WorkloadState, domain: Domain) => WorkloadState;
  readonly token?: (token: string) => string;
  /** Serves the WIT profile; what is done to each token. */
  readonly wit?: (wit: DeliveredWit) => DeliveredWit;
}

export interface TestEndpoint {
  readonly socket: string;
  /** New certificates and keys for the same ids. */
  rotate(): void;
  withdraw(): void;
  close(): Promise<void>;
}

/** Starts an endpoint. */
export async function openTestEndpoint({
  state: change = (state) => state,
  token: changeToken = (token) => token,
  wit: changeWit,
}: Faults = {}): Promise<TestEndpoint> {
  const directory = mkdtempSync(join(tmpdir(), "conformance-"));
  chmodSync(directory, 0o755);
  const domain = withWitKey(createDomain("ours.test", now()));
  const foreign = createDomain("other.test", now());
  const listeners = new Set<() => void>();
  const fresh = () => change(issueState(domain, foreign), domain);
  let state = fresh();
  const tell = (next: WorkloadState) => {
    state = next;
    for (const listener of listeners) listener();
  };
  const source: WorkloadSource = {
    subscribe: async (peer, onState) => {
      requireEntitled(peer);
      const listener = () => onState(state);
      listener();
      listeners.add(listener);
      return { close: () => void listeners.delete(listener) };
    },
    issueJwtSvids: async (peer, { audience, spiffeId }) => {
      requireEntitled(peer);
      const wanted = state.svids.filter((svid) => spiffeId === null || svid.spiffeId === spiffeId);
      if (wanted.length === 0) throw new TrustWardenError("no_identity");
      return wanted.map(({ spiffeId: id, hint }) => ({
        spiffeId: id,
        hint,
        svid: changeToken(issueToken(domain, id, audience)),
      }));
    },
    isWitServed: () => changeWit !== undefined,
    issueWitSvids: async (peer, { spiffeId }) => {
      requireEntitled(peer);
      const wanted = state.svids.filter((svid) => spiffeId === null || svid.spiffeId === spiffeId);
      if (wanted.length === 0 || changeWit === undefined) throw new TrustWardenError("no_identity");
      return wanted.map((svid) => changeWit(issueWit(domain, svid)));
    },
    bundles: () => state.bundles,
  };
  const socketPath = join(directory, "agent.sock");
  const api = await createWorkloadApi({ source, socketPath, now });
  return {
    socket: `unix://${socketPath}`,
    rotate: () => tell(fresh()),
    withdraw: () => tell({ svids: [], bundles: state.bundles }),
    close: async () => {
      await api.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function issueState(domain: Domain, foreign: Domain): WorkloadState {
  const svids = [
    ["team", "pay", "inst-1"],
    ["team", "pay"],
  ].map((path, index): DeliveredSvid => {
    const { id, chain, signer } = issueSvid(domain, path, now());
    const hint = index === 0 ? "instance" : "class";
    return { spiffeId: id, chain, keyPkcs8: encodePkcs8(signer), hint };
  });
  return { svids, bundles: [domain.bundle, foreign.bundle] };
}

function issueToken({ bundle, signers }: Domain, id: SpiffeId, requested: readonly string[]): string {
  const [kid = ""] = bundle.jwtAuthorities.keys();
  const [first = "", ...others] = requested;
  const audience = others.length === 0 ? first : ([first, ...others] as const);
  const lifetime = { now: now(), ttlSeconds: 300 };
  return issueJwtSvid({
    id,
    audience,
    issuer: "https://ours.test",
    kid,
    jti: "01J",
    ...lifetime,
    signer: signers.jwt,
  });
}

interface WitDomain extends Domain {
  readonly witSigner: Signer;
}

function withWitKey(domain: Domain): WitDomain {
  const witSigner = createSigner();
  const witAuthorities = new Map([[formatThumbprint(witSigner.publicKey), witSigner.publicKey]]);
  return { ...domain, witSigner, bundle: { ...domain.bundle, witAuthorities } };
}

function issueWit({ witSigner }: WitDomain, { spiffeId, hint }: DeliveredSvid): DeliveredWit {
  const key = createSigner();
  const svid = issueWitSvid({
    ...{ id: spiffeId, confirmationKey: key.publicKey, kid: formatThumbprint(witSigner.publicKey) },
    ...{ jti: "01J", now: now(), ttlSeconds: 300, signer: witSigner },
  });
  const keyJwk = JSON.stringify(key.privateKey.export({ format: "jwk" }));
  return { spiffeId, svid, keyJwk, hint, expiresAt: now() + 300 };
}

function requireEntitled({ uid }: WorkloadPeer): void {
  if (uid === STRANGER_UID) throw new TrustWardenError("no_identity");
}
