/**
 * What a process of this host is: its account and groups from the moment it connected, its program and its control
 * group from `/proc`, in this order, and at the end once more the question whether it is still that process.
 *
 * `unix:path` and `unix:sha256` are worth as much as the account around them, because any process of the same account
 * can turn into the program before it is looked at; entries that ask for nothing else are refused (`selector.ts`). The
 * command line and the environment are not read at all: they are the process's own memory.
 *
 * @see docs/guides/workload-api.md, "What is attested"
 */
import { readFileSync, readlinkSync } from "node:fs";
import { parseSelectors, type Selector } from "@trustwarden/core/agentid/selector.ts";
import type { WorkloadFacts } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Accounts } from "./accounts.ts";
import type { ExecutableDigests } from "./executable-digest.ts";
import { parseControlGroup, parseProcessOwner } from "./proc-files.ts";
import { parseProcessStat } from "./process-stat.ts";

/** A selector's value has at most 1,024 characters; a longer path gives none. */
const MAX_TEXT_CHARS = 1000;
/** Of the 64 that an instance may have; further groups are left out. */
const MAX_SUPPLEMENTARY = 16;
const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u;

/** A process to attest, with the account that connected. */
export interface AttestedPeer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly isAlive: () => boolean;
}

/** What was verified. */
export interface Attestation {
  /** Tells the process from every other that ever had its number on this host: `<pid>:<start time>`. */
  readonly processKey: string;
  readonly selectors: readonly Selector[];
  readonly facts: WorkloadFacts;
}

/** Attests processes of this host. */
export interface UnixAttestor {
  /** @throws TrustWardenError `workload_gone`, `workload_unattested`. */
  readonly attest: (peer: AttestedPeer) => Promise<Attestation>;
}

export function createUnixAttestor(tools: {
  readonly accounts: Accounts;
  readonly digests: ExecutableDigests;
}): UnixAttestor {
  return { attest: (peer) => attestProcess(peer, tools) };
}

async function attestProcess(
  peer: AttestedPeer,
  { accounts, digests }: { readonly accounts: Accounts; readonly digests: ExecutableDigests },
): Promise<Attestation> {
  const { pid, uid, gid, groups, isAlive } = peer;
  const { startTime } = parseProcessStat(readProc(pid, "stat"));
  const owner = parseProcessOwner(readProc(pid, "status"));
  // A set-user-ID program started after the connection, or another process that has the number now.
  if (owner.uid !== uid || owner.gid !== gid)
    throw new TrustWardenError("workload_unattested", { reason: "owner", pid });
  const { path, unit, containerId } = parseControlGroup(readProc(pid, "cgroup"));
  const exe = findExecutable(pid);
  const sha256 = await digests.read(pid);
  const supplementary = groups.toSorted((left, right) => left - right).slice(0, MAX_SUPPLEMENTARY);
  const texts = [
    `unix:uid:${uid}`,
    `unix:gid:${gid}`,
    ...named("unix:user", accounts.userName(uid)),
    ...named("unix:group", accounts.groupName(gid)),
    ...supplementary.map((one) => `unix:supplementary_gid:${one}`),
    ...supplementary.flatMap((one) => named("unix:supplementary_group", accounts.groupName(one))),
    ...named("unix:path", exe),
    ...named("unix:sha256", sha256),
    ...named("unix:cgroup", path),
    ...named("systemd:id", unit),
    ...named("container:id", containerId),
  ];
  // Last: whatever was read above was read of the process that connected, or it does not count.
  if (!isAlive()) throw new TrustWardenError("workload_gone", { pid });
  return {
    processKey: `${pid}:${startTime}`,
    selectors: parseSelectors(texts),
    facts: { pid, uid, exe: exe ?? "", strength: "unix" },
  };
}

/** @throws TrustWardenError `workload_gone`. */
function readProc(pid: number, file: "stat" | "status" | "cgroup"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch (cause) {
    throw new TrustWardenError("workload_gone", { pid, file }, { cause });
  }
}

/** The program's path as the kernel says it, in the mount namespace of the process. */
function findExecutable(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    // Safe: a missing fact matches nothing.
    return undefined;
  }
}

function named(key: string, value: string | undefined): readonly string[] {
  const isUsable = value !== undefined && value.length <= MAX_TEXT_CHARS && PRINTABLE.test(value);
  return isUsable ? [`${key}:${value}`] : [];
}
