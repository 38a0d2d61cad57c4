/**
 * A process of this host by its number alone, for whoever asks what it would match. Nothing is given on this word: a
 * number proves nothing about who is asking.
 */
import { readFileSync } from "node:fs";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { followByStartTime } from "./peer-process.ts";
import { parseProcessOwner } from "./proc-files.ts";
import type { AttestedPeer } from "./unix-attestor.ts";

/** @throws TrustWardenError `workload_gone`. */
export function readLocalProcess(pid: number): AttestedPeer {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch (cause) {
    throw new TrustWardenError("workload_gone", { pid }, { cause });
  }
  return followByStartTime({ pid, ...parseProcessOwner(status) });
}
