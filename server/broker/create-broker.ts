/** The broker of what the server is made of. */
import type { SharedLedger } from "../shared/open-shared-log.ts";
import type { SharedSecretKeys } from "../shared/shared-secret-keys.ts";
import type { ControlDraft, StoreCommands, StoreReads } from "../store/ports.ts";
import { SecretsBroker } from "./broker.ts";
import type { BrokerDeps } from "./deps.ts";

/** The parts of a server that the broker stands on. */
export interface BrokerParts {
  readonly keys: { readonly secretKeys: BrokerDeps["keys"]; readonly trustDomain: string };
  readonly random: BrokerDeps["random"];
  readonly clock: { nowMs(): number; monoMs(): number };
  readonly store: { readonly reads: StoreReads; readonly commands: StoreCommands };
  readonly log: { readonly warn: BrokerDeps["warn"] };
  readonly ledger: {
    settle: BrokerDeps["settle"];
    recordControl(
      draft: ControlDraft,
      context: {
        readonly nowMs: number;
        readonly principal: string;
        readonly peer: string;
        readonly intent: null;
        readonly epoch: number;
      },
    ): Promise<unknown>;
  };
  /** Where strangers read the token status lists. */
  readonly publicUrl: () => string;
  readonly openFetch: BrokerDeps["openFetch"];
  readonly createKey: BrokerDeps["createKey"];
  readonly payloads: BrokerDeps["payloads"];
  readonly keysOfAll: SharedSecretKeys | null;
  readonly shared: Pick<SharedLedger, "duties"> | null;
  readonly identity: { current(): { readonly spiffeId: string } };
}

/** A broker that has not loaded its canaries yet; see `start`. */
export function createBroker({
  keys,
  random,
  clock,
  store,
  log,
  ledger,
  identity,
  publicUrl,
  openFetch,
  createKey,
  payloads,
  keysOfAll,
  shared,
}: BrokerParts): SecretsBroker {
  const { reads, commands } = store;
  const deployment = () => identity.current().spiffeId;
  const at = () => ({ nowMs: clock.nowMs(), intent: null });
  const context = () => ({ ...at(), principal: deployment(), peer: "local" });
  const issueJwt = async (instanceId: string, audience: string): Promise<string> => {
    const statusLists = `${publicUrl()}/v1/status-list`;
    const committed = await commands.issueJwt({
      context: context(),
      instanceId,
      audience,
      identity: "instance",
      statusLists,
    });
    await ledger.settle(committed);
    return committed.value.svid;
  };
  return new SecretsBroker({
    reads,
    commands,
    keys: keysOfAll ?? keys.secretKeys,
    ...(keysOfAll !== null &&
      shared !== null && {
        shared: { followKeys: () => keysOfAll.follow(), isTending: () => shared.duties.isSeated },
      }),
    random,
    trustDomain: keys.trustDomain,
    deployment,
    settle: (committed) => ledger.settle(committed),
    record: (draft, by) => ledger.recordControl(draft, { ...at(), ...by, epoch: reads.epoch() }),
    context,
    issueJwt,
    openFetch,
    createKey,
    payloads,
    nowMs: () => clock.nowMs(),
    monoMs: () => clock.monoMs(),
    warn: (facts, message) => log.warn(facts, message),
  });
}
