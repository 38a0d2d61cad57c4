/** Rows about the shards of the ledger: each has its files below its own address, and the operator may begin another. */
import { shardList, turnAnswer, turnRequest } from "@trustwarden/core/api/ledger.ts";
import { z } from "zod";
import {
  listShards,
  readCheckpoint,
  readHashTile,
  readLatestCheckpoint,
  readTile,
  readWitnessedCheckpoint,
} from "../acts/public.ts";
import { turnLedger } from "../acts/turn.ts";
import { ADMIN_ONLY, defineGuarded, definePublic, MAIN_AND_ADMIN, type Route } from "../route.ts";

const inShard = z.object({ shard: z.string().max(32) });
const shardTile = z.object({ shard: z.string().max(32), "*": z.string().max(128) });

/** Put on the table by `routes.ts`. */
export const SHARD_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: "/ledger/shards",
    listeners: MAIN_AND_ADMIN,
    summary: "The logs that the ledger consists of",
    answer: shardList,
    act: listShards,
  }),
  definePublic({
    method: "GET",
    path: "/ledger/latest-checkpoint",
    listeners: MAIN_AND_ADMIN,
    summary: "Latest signed tree head of the shard that grows",
    answer: "raw",
    act: readLatestCheckpoint,
  }),
  definePublic({
    method: "GET",
    path: "/ledger/shard/:shard/checkpoint",
    listeners: MAIN_AND_ADMIN,
    summary: "Latest signed tree head of a shard",
    params: inShard,
    answer: "raw",
    act: readCheckpoint,
  }),
  definePublic({
    method: "GET",
    path: "/ledger/shard/:shard/witnessed-checkpoint",
    listeners: MAIN_AND_ADMIN,
    summary: "Latest tree head of a shard that a quorum of witnesses has cosigned",
    params: inShard,
    answer: "raw",
    act: readWitnessedCheckpoint,
  }),
  definePublic({
    method: "GET",
    path: "/ledger/shard/:shard/tile/*",
    listeners: MAIN_AND_ADMIN,
    summary: "Hash tiles of a shard",
    params: shardTile,
    answer: "raw",
    act: readHashTile,
  }),
  defineGuarded({
    method: "GET",
    path: "/ledger/shard/:shard/tile/entries/*",
    listeners: ADMIN_ONLY,
    summary: "Entry bundles of a shard, for export",
    access: ["operator"],
    recording: "single",
    params: shardTile,
    answer: "raw",
    action: () => "read:ledger",
    subject: () => "none",
    act: (services, { params }) =>
      readTile(services, { shard: params.shard, path: `entries/${params["*"]}`, isEntries: true }),
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/ledger/turns",
    listeners: ADMIN_ONLY,
    summary: "End the current shard of the ledger and begin the next",
    access: ["operator"],
    recording: "single",
    kind: "admin",
    body: turnRequest,
    answer: turnAnswer,
    action: () => "rotate:ledger",
    subject: () => "none",
    act: turnLedger,
  }),
];
