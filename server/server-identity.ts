/**
 * The server's own SVID: issued at each start, renewed at half life, its SPIFFE ID unchanged while the process runs.
 */
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import type { PolicyReference } from "@trustwarden/core/decision.ts";
import type { Committed, ServerSvid, StoreCommands } from "./store/ports.ts";

/** Longest delay that a timer takes; SVIDs live for an hour. */
const MAX_DELAY_MS = 2_147_483_647;
/** After a failed renewal; there is half a lifetime to try again in. */
const RETRY_MS = 10_000;
const PRINCIPAL = "operator";
const PEER = "local";

/** Holds the current SVID. */
export interface ServerIdentity {
  current(): ServerSvid;
  /**
   * Renews at once when another intermediate signs than the one below which the current SVID is. Never without need: of two
   * SVIDs in quick succession an agent may meet the signature of the first when it is shown only the second.
   *
   * @throws TrustWardenError as the first SVID.
   */
  follow(intermediate: Uint8Array): Promise<void>;
  /** Stops renewing. */
  close(): void;
}

/**
 * Issues the first SVID and keeps it young.
 *
 * @param options.settle - brings the event of an issuance into the ledger.
 * @param options.onRenewed - hands the new certificate to the listeners.
 * @throws TrustWardenError `clock_rolled_back`, `ledger_unavailable`, `store_unavailable`.
 */
export async function createServerIdentity(options: {
  readonly commands: Pick<StoreCommands, "issueServerSvid">;
  readonly settle: (committed: Committed<ServerSvid>) => Promise<unknown>;
  /** Told in the event of the start. */
  readonly policy?: PolicyReference;
  readonly nowMs: () => number;
  readonly onRenewed: (svid: ServerSvid) => void;
  readonly onFailed: (error: unknown) => void;
}): Promise<ServerIdentity> {
  const { commands, settle, policy, nowMs, onRenewed, onFailed } = options;
  const issue = async (reason: "start" | "renew"): Promise<ServerSvid> => {
    const context = { nowMs: nowMs(), principal: PRINCIPAL, peer: PEER, intent: null };
    const decides = reason === "start" && policy !== undefined ? { policy } : {};
    const committed = await commands.issueServerSvid({ context, reason, ...decides });
    await settle(committed);
    return committed.value;
  };
  let svid = await issue("start");
  let timer: NodeJS.Timeout | undefined;
  const renewAfter = (delayMs: number): void => {
    timer = setTimeout(() => void renewInBackground(), Math.min(delayMs, MAX_DELAY_MS)).unref();
  };
  const halfLifeMs = (): number => Math.max(0, (svid.expiresAt * 1000 - nowMs()) / 2);
  const renew = async (): Promise<void> => {
    clearTimeout(timer);
    svid = await issue("renew");
    onRenewed(svid);
    renewAfter(halfLifeMs());
  };
  const renewInBackground = async (): Promise<void> => {
    try {
      await renew();
    } catch (error) {
      // Safe to go on: the present SVID is good for half its life, and the owner of the log decides what is fatal.
      onFailed(error);
      renewAfter(RETRY_MS);
    }
  };
  const follow = async (intermediate: Uint8Array): Promise<void> => {
    const [, issuer] = svid.svidChain;
    if (issuer === undefined || !isEqualBytes(issuer, intermediate)) await renew();
  };
  renewAfter(halfLifeMs());
  return { current: () => svid, follow, close: () => clearTimeout(timer) };
}
