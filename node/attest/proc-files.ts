/**
 * The texts of `/proc/<pid>` that attestation reads, parsed.
 *
 * A process shapes some of them: its own name, and the names of control groups below one that was delegated to it. So
 * ids come from the last bracket on, a unit is the outermost one, and a container id counts only where nobody but root
 * could have made the group.
 *
 * @see proc(5), cgroups(7)
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** A group below one that was handed to a user says what that user likes. */
const UNIT = /^[^/]+\.(?:service|scope|socket|mount)$/;
/** As docker, containerd, cri-o and podman write it, with and without systemd. */
const CONTAINER = /^(?:[a-z][a-z-]{0,31}-)?([0-9a-f]{64})(?:\.scope)?$/;
const MAX_CGROUP_LINES = 64;

/** Who a process acts as. */
export interface ProcessOwner {
  /** Effective. */
  readonly uid: number;
  /** Effective. */
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Where a process runs, as its control group tells. */
export interface ControlGroup {
  /** Of the unified hierarchy; undefined without one, outside our view, and at the root, where anybody may be. */
  readonly path: string | undefined;
  /** The system manager's unit. */
  readonly unit: string | undefined;
  /** 64 hexadecimal digits. */
  readonly containerId: string | undefined;
}

/** @param text - `/proc/<pid>/status`. @throws TrustWardenError `workload_unattested`. */
export function parseProcessOwner(text: string): ProcessOwner {
  const numbers = (name: string): readonly number[] => {
    const line = new RegExp(`^${name}:\\t([\\d\\t ]*)$`, "m").exec(text)?.[1];
    if (line === undefined) throw new TrustWardenError("workload_unattested", { reason: "status" });
    return line
      .split(/[\t ]+/)
      .filter((part) => part !== "")
      .map(Number);
  };
  const [, uid] = numbers("Uid");
  const [, gid] = numbers("Gid");
  if (uid === undefined || gid === undefined)
    throw new TrustWardenError("workload_unattested", { reason: "status" });
  return { uid, gid, groups: numbers("Groups") };
}

/**
 * What `/proc/<pid>/cgroup` says. Anything that two lines tell differently, or that lies outside our own view of the
 * hierarchy, is left out: a missing fact matches nothing.
 */
export function parseControlGroup(text: string): ControlGroup {
  const lines = text
    .split("\n")
    .slice(0, MAX_CGROUP_LINES)
    .map(parseLine)
    .filter((line) => line !== undefined);
  const places = lines.map(({ segments }) => placeOf(segments));
  const unified = lines.find(({ controllers }) => controllers === "");
  const units = lines.flatMap(({ controllers }, index) =>
    controllers === "" || controllers === "name=systemd" ? [places[index]?.unit] : [],
  );
  return {
    path:
      unified === undefined || unified.segments.length === 0 ? undefined : `/${unified.segments.join("/")}`,
    unit: only(units),
    containerId: only(places.map(({ containerId }) => containerId)),
  };
}

interface Line {
  readonly controllers: string;
  readonly segments: readonly string[];
}

function parseLine(line: string): Line | undefined {
  const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
  if (controllers === undefined || path === undefined) return undefined;
  const segments = path.split("/").filter((segment) => segment !== "");
  return segments.includes("..") ? undefined : { controllers, segments };
}

/** Walks from the root until the first unit or container: what lies below may be anybody's. */
function placeOf(segments: readonly string[]): Pick<ControlGroup, "unit" | "containerId"> {
  for (const segment of segments) {
    const containerId = CONTAINER.exec(segment)?.[1];
    const unit = UNIT.test(segment) ? segment : undefined;
    if (containerId !== undefined || unit !== undefined) return { unit, containerId };
  }
  return { unit: undefined, containerId: undefined };
}

/** The one value that is told, or undefined when none or several are. */
function only(values: readonly (string | undefined)[]): string | undefined {
  const told = new Set(values.filter((value) => value !== undefined));
  const [first] = told;
  return told.size === 1 ? first : undefined;
}
