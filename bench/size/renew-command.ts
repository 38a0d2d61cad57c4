/**
 * `node bench/size/renew-command.ts DIRECTORY`: what the writer's part of a renewal by a node costs, in processor time: the
 * command in groups of a size, in this one thread, on a data directory that `fill.ts` made within the hour, which it changes.
 */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { openServerKeys } from "../../server/keys.ts";
import { createBuiltinPolicy } from "../../server/opa/builtin.ts";
import { storeSettingsOf } from "../../server/parts.ts";
import { openSigningKey } from "../../server/signer/signing-key.ts";
import { loadAuthority } from "../../server/store/commands/change-authority.ts";
import { createCommandDeps } from "../../server/store/commands/deps.ts";
import { openForWriting } from "../../server/store/schema.ts";
import { runGroup } from "../../server/store/writer-group.ts";
import type { WriterRequest } from "../../server/store/writer-protocol.ts";
import { createRawVerification } from "../raw-key.ts";
import { newSpki } from "./commands.ts";
import { operatorContext, sizeConfig } from "./founding.ts";

/** Instances that nodes asked for, with the live SVIDs of both. */
const FIND = `
  SELECT own.instance_id, own.svid_sha256, instances.node_instance_id, node.svid_sha256 AS node_svid_sha256
  FROM instances JOIN svids AS own ON own.instance_id = instances.instance_id AND own.is_class = 0
  JOIN svids AS node ON node.instance_id = instances.node_instance_id
  WHERE own.not_after > ? AND node.not_after > ? LIMIT 500`;
const RAW = 2000;
/** A proof of possession is as long as this; its signature was checked before a command is made. */
const POSSESSION = "x".repeat(460);

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    renewals: { type: "string", default: "8000" },
    group: { type: "string", default: "16" },
  },
});
const config = sizeConfig(positionals[0] ?? "");
const keys = await openServerKeys({ config, random: randomBytes, nowMs: Date.now });
const deps = createCommandDeps({
  ...storeSettingsOf({ config, keys, policy: createBuiltinPolicy(config.policyDir) }),
  random: randomBytes,
  openSigner: openSigningKey,
});
const database = openForWriting(config.dataDir);
loadAuthority(database, deps, keys.firstAuthority);
const now = Math.floor(Date.now() / 1000);
const held = database.all(FIND, now, now);
if (held.length === 0) throw new Error("no live instance of a node: fill the directory again");
const total = Number(values.renewals);
const group = Number(values.group);
const requests = Array.from({ length: total }, (_, at) => requestOf(at));
renewAll(requests.slice(0, total / 4));
const rawUs = usOf(createRawVerification(RAW, POSSESSION.length)) / RAW;
const us = usOf(() => renewAll(requests.slice(total / 4))) / (total * 0.75);
database.close();
console.log(
  JSON.stringify({
    group,
    us: Math.round(us),
    raw_verification_us: Math.round(rawUs * 10) / 10,
    raw_verifications: Math.round((us / rawUs) * 10) / 10,
  }),
);

function requestOf(at: number): WriterRequest {
  const row = held[at % held.length];
  if (row === undefined) throw new Error("there is at least one");
  return {
    id: at,
    kind: "renewByNode",
    command: {
      context: { ...operatorContext(), principal: "node:bench" },
      nodeInstanceId: row.text("node_instance_id"),
      nodeSvidSha256: row.text("node_svid_sha256"),
      instanceId: row.text("instance_id"),
      svidSha256: row.text("svid_sha256"),
      key: { spki: newSpki(), possession: POSSESSION },
      classKey: { spki: newSpki(), possession: POSSESSION },
      compositionSha256: null,
    },
  };
}

/** In groups; what the group before put into the outbox is marked as sequenced with the next one. */
function renewAll(all: readonly WriterRequest[]): void {
  let marked: readonly number[] = [];
  for (let at = 0; at < all.length; at += group) {
    const marks = { id: -1, kind: "markSequenced", outboxIds: marked } as const;
    const { replies, isFatal } = runGroup(database, deps, [...all.slice(at, at + group), marks]);
    const refused = replies.find(({ isDone }) => !isDone);
    if (isFatal || refused !== undefined) throw new Error(`not renewed: ${JSON.stringify(refused)}`);
    marked = replies.flatMap((reply) =>
      reply.isDone && reply.value !== null ? [Number(Object(reply.value).outboxId)] : [],
    );
  }
}

function usOf(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
