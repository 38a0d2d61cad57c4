/**
 * What the opened parts become before the server listens: the ledger, the keeper of the authority's keys, and the
 * server's own SVID.
 */
import { setTimeout } from "node:timers/promises";
import { activeSlotOf } from "@trustwarden/core/agentid/authority-slots.ts";
import type { AuthorityStep } from "@trustwarden/core/agentid/authority-steps.ts";
import { encodeBase64, encodeHex } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPem } from "@trustwarden/core/pem.ts";
import { AuthorityKeeper } from "./authority/keeper.ts";
import type { TlsMaterial } from "./http/listeners.ts";
import { Ledger, type LedgerOptions } from "./ledger/ledger.ts";
import { appendIdOf } from "./ledger/outbox-sweep.ts";
import { createServerRecords } from "./ledger/server-records.ts";
import { observeLog } from "./metrics/observe.ts";
import type { Parts } from "./parts.ts";
import { createServerIdentity, type ServerIdentity } from "./server-identity.ts";
import { CommitOrder, type CommitOrderOptions } from "./shared/commit-order.ts";

/** Events that are in the ledger may wait so long for their mark: a transaction for each would cost as much as issuing. */
const MARK_PACE_MS = 250;

/** Made once at the start; what changes while the server runs is asked of keeper and identity each time. */
export interface Core {
  readonly parts: Parts;
  readonly keeper: AuthorityKeeper;
  readonly ledger: Ledger;
  readonly identity: ServerIdentity;
}

/**
 * Makes them, in this order, and records what the keeper mended.
 *
 * @param onRenewed - told when the server has another SVID.
 */
export async function createCore(parts: Parts, onRenewed: (core: Core) => void): Promise<Core> {
  const { keys, random, clock, store, log } = parts;
  let identity: ServerIdentity | undefined;
  const serverSvid = () => {
    if (identity === undefined) throw new Error("the server signs nothing before it has its SVID");
    return identity.current();
  };
  const ledger = new Ledger({
    origin: parts.origin,
    log: observeLog(parts.meter, parts.shardedLog),
    records: createServerRecords({ signer: keys.serverSigner, serverSvid, random }),
    index: parts.index,
    clock,
    witnessing: parts.witnessing,
    markSequenced: store.commands.markSequenced,
    ...(parts.shared !== null && {
      ...inOrderOfCommits(store.reads, parts.shared.appends),
      decided: parts.shared.decided,
    }),
    pace: () => setTimeout(MARK_PACE_MS, undefined, { ref: false }),
    onUnmarked: () => log.warn({ code: "store_unavailable" }, "recorded events could not be marked"),
  });
  void parts.failed.then(() => ledger.fail());
  const keeper = new AuthorityKeeper({
    keys,
    commands: store.commands,
    reads: store.reads,
    random,
    nowMs: () => clock.nowMs(),
    isKept: parts.config.state.storage === "postgres",
    ...stepsWithOthers(parts),
  });
  if (parts.shared !== null) requireLiveIntermediate(keeper, Math.floor(clock.nowMs() / 1000));
  const mended = await keeper.open();
  const core = (made: ServerIdentity): Core => ({ parts, keeper, ledger, identity: made });
  identity = await createServerIdentity({
    commands: store.commands,
    settle: (committed) => ledger.settle(committed),
    policy: parts.policy.engine.policy,
    nowMs: () => clock.nowMs(),
    onRenewed: () => identity && onRenewed(core(identity)),
    onFailed: () => log.error({ code: "store_unavailable" }, "the server's SVID could not be renewed"),
  });
  await recordMended(core(identity), mended);
  return core(identity);
}

/** How a server that shares its store brings in what it committed. */
function inOrderOfCommits(
  reads: CommitOrderOptions["reads"],
  appends: CommitOrderOptions["appends"],
): Pick<LedgerOptions, "nameOwed" | "onOwed"> {
  const order = new CommitOrder({ reads, appends });
  return { nameOwed: appendIdOf, onOwed: (outboxId) => order.askBefore(outboxId) };
}

/** Any of several servers takes an operator's step; the planned ones are of the one that has the seat. */
function stepsWithOthers({
  shared,
  store,
}: Parts): Pick<ConstructorParameters<typeof AuthorityKeeper>[0], "catchUp" | "isTending"> {
  if (shared === null) return {};
  return {
    catchUp: () => store.commands.markSequenced([]),
    isTending: () => shared.duties.isSeated,
  };
}

/** A new one is made by a server alone, since its key has to come to all of them. @throws TrustWardenError `authority_expired`. */
function requireLiveIntermediate(keeper: AuthorityKeeper, now: number): void {
  const { expiresAt } = activeSlotOf(keeper.state(), "intermediate");
  if ((expiresAt ?? 0) > now) return;
  const reason =
    "the intermediate has ended: start one server alone (`state.servers`: `one`), and copy its keys";
  throw new TrustWardenError("authority_expired", { reason });
}

/** The events of steps that were taken while the server could sign none. */
async function recordMended({ parts, keeper, ledger }: Core, steps: readonly AuthorityStep[]): Promise<void> {
  for (const { step } of steps) {
    const details = {
      step,
      authority_kind: "intermediate",
      key_id: encodeHex(keeper.current().intermediate.ski),
      forced: false,
      reason: "the intermediate had ended while the server was down",
      sequence: keeper.state().sequence,
      authorities_sha256: keeper.current().authoritiesSha256,
      certificate: encodeBase64(keeper.current().intermediate.der),
    };
    const draft = {
      kind: "authority",
      allow: true,
      reasons: [],
      subject: details.key_id,
      chain: [],
    } as const;
    const epoch = parts.store.reads.epoch();
    const context = { nowMs: parts.clock.nowMs(), principal: "operator", peer: "local", intent: null, epoch };
    await ledger.recordControl({ ...draft, details }, context);
  }
}

/** The TLS key is the key of the server's SVID; the chain goes out without the root, which clients pin. */
export function tlsMaterialOf({ parts, identity, keeper }: Core): TlsMaterial {
  const roots = keeper.current().bundle.x509Authorities;
  return {
    key: formatPem("PRIVATE KEY", parts.keys.serverPkcs8),
    cert: identity
      .current()
      .svidChain.map((der) => formatPem("CERTIFICATE", der))
      .join(""),
    ca: roots.map(({ der }) => formatPem("CERTIFICATE", der)).join(""),
  };
}
