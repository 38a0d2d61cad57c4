/** The class SVID beside an instance's own, in the transaction that issues or renews that one: never alone, and to agents only. */
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { InstanceState, IssuedIdentity } from "../ports.ts";
import type { ProvenKey } from "../registration-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import type { CommandDeps } from "./deps.ts";
import { issueClassSvid } from "./svid.ts";

/**
 * A class SVID, when a key was given for one: what is answered, and what the event says of it.
 *
 * @throws TrustWardenError `principal_refused` for a verifier or a node, and the codes of `issueClassSvid`.
 */
export function issueClass(
  database: SqliteDatabase,
  deps: CommandDeps,
  options: {
    readonly instance: InstanceState;
    readonly classKey: ProvenKey | null;
    readonly now: number;
  },
): { readonly value: Pick<IssuedIdentity, "classSvidChain">; readonly details: JsonObject } {
  const { instance, classKey, now } = options;
  if (classKey === null) return { value: { classSvidChain: null }, details: { class_svid: null } };
  if (instance.kind !== "agent") throw new TrustWardenError("principal_refused", { kind: instance.kind });
  const svid = issueClassSvid(database, deps, { instance, spki: classKey.spki, now });
  // The leaf alone: its issuer is in the instance's chain, and nothing in the ledger is ever signed with it.
  const [leaf = new Uint8Array(0)] = svid.chain;
  return { value: { classSvidChain: svid.chain }, details: { class_svid: encodeBase64(leaf) } };
}
