/**
 * Which processes a launched identity is for, as the kernel tells them apart.
 *
 * A socket in a private directory alone binds to an account, since every process of that account can open it. What binds
 * to the launched process and its children is something that only the launcher could give them: an account of their own,
 * a control group, or a process namespace. Whatever cannot be read belongs to nobody.
 *
 * A control group alone keeps out whoever is not meant to be there, not whoever sets out to be: a process of the group's own
 * account can move itself in. Together with another account it cannot.
 *
 * @see ARCHITECTURE.md, "Attestation"; spiffe.md, "Workload attestation from Node", C
 */
import { readFileSync, readlinkSync } from "node:fs";
import { parseControlGroup } from "../attest/proc-files.ts";
import type { InstanceDescription, WorkloadPeer } from "../ports.ts";

/** How a launched process is told from the others of its account. */
export interface Binding {
  /** `launcher` only when nobody else can pass; `same_uid` otherwise. */
  readonly strength: Extract<InstanceDescription["strength"], "launcher" | "same_uid">;
  /** For the report: what is compared. */
  readonly by: string;
  readonly belongs: (peer: WorkloadPeer) => boolean;
}

/** Every process of the launcher's own account. @param uid - of the launched process. */
export function bindToSameAccount(uid: number): Binding {
  return { strength: "same_uid", by: `uid ${uid}, which is the launcher's own`, belongs: isOf(uid) };
}

/**
 * Every process of another account; of those only the launched ones, where there is a control group that the account may not
 * change.
 *
 * @param group - as `/proc/<pid>/cgroup` shows it.
 */
export function bindToAccount(uid: number, group: string | undefined): Binding {
  const isOfAccount = isOf(uid);
  if (group === undefined) return { strength: "launcher", by: `uid ${uid}`, belongs: isOfAccount };
  const isInGroup = isIn(group);
  return {
    strength: "launcher",
    by: `uid ${uid} and control group ${group}`,
    belongs: (peer) => isInGroup(peer) && isOfAccount(peer),
  };
}

/** Every process of a control group and those below it. @param path - as `/proc/<pid>/cgroup` shows it. */
export function bindToControlGroup(path: string): Binding {
  return { strength: "same_uid", by: `control group ${path}`, belongs: isIn(path) };
}

/**
 * Every process of the namespace that a program made for its child, as bubblewrap does. The child exists a moment after the
 * program; until then nobody belongs.
 *
 * @param pid - of the program that makes the namespace.
 */
export function bindToNamespaceBelow(pid: number): Binding {
  let namespace: string | undefined;
  return {
    strength: "launcher",
    by: "the sandbox's process namespace",
    belongs: (peer) => {
      namespace ??= findNamespaceBelow(pid);
      return namespace !== undefined && namespaceOf(peer.pid) === namespace && peer.isAlive();
    },
  };
}

/**
 * The program inside a sandbox, which is the child of the namespace's first process. Undefined until it is there.
 *
 * @param pid - of the program that makes the namespace.
 */
export function findInside(pid: number): number | undefined {
  const [first] = childrenOf(pid);
  return first === undefined ? undefined : childrenOf(first)[0];
}

/** The first child's namespace, when it is another one than the program's own. */
function findNamespaceBelow(pid: number): string | undefined {
  const [child] = childrenOf(pid);
  const namespace = child === undefined ? undefined : namespaceOf(child);
  return namespace === namespaceOf(pid) ? undefined : namespace;
}

function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text
      .split(" ")
      .filter((part) => part !== "")
      .map(Number);
  } catch {
    // Safe: without a child there is no namespace, and nobody belongs.
    return [];
  }
}

/** The account as it was when the connection was made. */
function isOf(uid: number): Binding["belongs"] {
  return (peer) => peer.uid === uid && peer.isAlive();
}

function isIn(group: string): Binding["belongs"] {
  return (peer) => {
    const found = controlGroupOf(peer.pid);
    return (found === group || found?.startsWith(`${group}/`) === true) && peer.isAlive();
  };
}

function controlGroupOf(pid: number): string | undefined {
  try {
    return parseControlGroup(readFileSync(`/proc/${pid}/cgroup`, "utf8")).path;
  } catch {
    // Safe: a process that is gone or hidden belongs to no group.
    return undefined;
  }
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    // Safe: a process that is gone or hidden is in no namespace of ours.
    return undefined;
  }
}
