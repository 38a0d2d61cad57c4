/**
 * `warden run`, without its command line: an identity, a socket that only the launched process can use, the process, and
 * the end of all three together.
 *
 * The order: identity first (a process that cannot have one is not started), then the socket, then the process inside its
 * binding. Nobody belongs to the socket until the process runs. When the process ends, its instance is ended everywhere;
 * when the instance is revoked, the streams end and, unless told otherwise, the process is asked to end.
 *
 * @see docs/guides/warden-run.md
 */
import { chmodSync, chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type ChildOptions, DeliveredIdentity, nowSeconds, type Runtime } from "trustwarden/peer.ts";
import { openKernel } from "../attest/kernel.ts";
import type { Measure } from "../composition-file.ts";
import { createWorkloadApi } from "../workload-api/workload-api.ts";
import {
  type Binding,
  bindToAccount,
  bindToControlGroup,
  bindToNamespaceBelow,
  bindToSameAccount,
  findInside,
} from "./binding.ts";
import { type ControlGroupHandle, createControlGroup } from "./control-group.ts";
import { type CleanEnvironment, cleanEnvironment } from "./environment.ts";
import { formatGatewayVariables, type GatewayVariables, gatewayVariables } from "./gateway-variables.ts";
import { type LaunchedProcess, launchProcess } from "./launched-process.ts";
import { LaunchedSource } from "./launched-source.ts";
import { type LocalProxy, openLocalProxy } from "./local-proxy.ts";
import { requestParentGrant } from "./parent-grant.ts";
import { formatSandboxArguments, requireSandbox, SANDBOX_PROGRAM } from "./sandbox.ts";
import { openWayOut, type Place, type WayOut } from "./way-out.ts";

const SOCKET = "agent.sock";
const WAY_OUT_SOCKET = "out.sock";
const GATEWAY_SOCKET = "gateway.sock";
/** For telling the server that the instance is over. */
const END_TIMEOUT_MS = 5_000;

/** Where the identity comes from. */
export type LaunchIdentity =
  | { readonly kind: "ticket"; readonly ticket: string }
  /** A child of an instance of the process that asks; `socketPath` is that process's own endpoint. */
  | {
      readonly kind: "parent";
      readonly socketPath: string;
      /** Which instance, where the process has several or it must be this one. */
      readonly parentId: string | undefined;
      readonly child: ChildOptions;
    };

/** What is run, and how. */
export interface RunOptions {
  readonly identity: LaunchIdentity;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly keep: readonly string[];
  /** What the program is made of, asked again at each renewal. */
  readonly composition?: Measure | undefined;
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
  readonly sandbox?: SandboxPlan | undefined;
  /** Whether a revoked process is ended, not only cut off. */
  readonly endsOnRevoke: boolean;
  readonly isOnTerminal: boolean;
  readonly runtime: Runtime;
  /** Told once, before the process starts. */
  readonly onReady: (report: RunReport) => void;
  readonly signals: NodeJS.EventEmitter;
}

/** The walls, as an operator wants them. */
export interface SandboxPlan {
  readonly workingDirectory: string;
  readonly readOnly: readonly string[];
  readonly hidden: readonly string[];
  readonly never: readonly string[];
  readonly allowed: readonly Place[];
}

/** What the launched process gets. */
export interface RunReport {
  readonly spiffeId: string;
  /** Its second SVID, for services elsewhere that know agents by their class. */
  readonly classSpiffeId: string;
  readonly scope: readonly string[];
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly socketPath: string;
  readonly strength: Binding["strength"];
  readonly boundBy: string;
  readonly environment: Pick<CleanEnvironment, "removed" | "kept">;
  /** Names of the variables that lead to the gateway; null when the server has none. */
  readonly gateway: readonly string[] | null;
}

/** What came of it. */
export interface RunResult {
  readonly exitCode: number;
  readonly isRevoked: boolean;
  /** Places that the sandbox asked for and was refused. */
  readonly refusedPlaces: readonly string[];
}

/**
 * Runs a command with an identity of its own.
 *
 * @throws TrustWardenError `sandbox_unavailable`, `attestor_unavailable`, `launch_failed`, `endpoint_malformed`, and the codes of enrolment.
 */
export async function runLaunched(options: RunOptions): Promise<RunResult> {
  if (options.sandbox !== undefined) requireSandbox();
  if (options.account !== undefined && process.getuid?.() !== 0)
    throw new TrustWardenError("launch_failed", { reason: "another account needs root" });
  // The secrets that the launched process does not get are in this one's environment, and its keys in this one's memory.
  (await openKernel()).shield();
  const events = new LaunchEvents();
  const identity = await enrolIdentity(options, events);
  const cleanups: (() => Promise<void> | void)[] = [() => identity.close()];
  try {
    await identity.ready();
    return await serveAndRun({ options, identity, events, cleanups });
  } catch (error) {
    // A start that failed leaves no instance behind.
    await endInstance(identity);
    throw error;
  } finally {
    for (const clean of cleanups.toReversed()) await clean();
  }
}

/** What the identity tells, before there is anybody to tell. */
class LaunchEvents {
  onChange: () => void = () => {};
  onRevoked: () => void = () => {
    this.isRevoked = true;
  };
  isRevoked = false;
}

function enrolIdentity(
  { identity, composition, runtime }: RunOptions,
  events: LaunchEvents,
): Promise<DeliveredIdentity> {
  const given = {
    runtime,
    composition,
    events: { onChange: () => events.onChange(), onRevoked: () => events.onRevoked() },
  };
  switch (identity.kind) {
    case "ticket":
      return DeliveredIdentity.fromTicket({ ticket: identity.ticket, ...given });
    case "parent": {
      const { child, socketPath, parentId } = identity;
      return DeliveredIdentity.fromParent({
        child,
        grant: (request) => requestParentGrant(socketPath, { request, parentId }),
        ...given,
      });
    }
  }
}

async function serveAndRun(parts: {
  readonly options: RunOptions;
  readonly identity: DeliveredIdentity;
  readonly events: LaunchEvents;
  readonly cleanups: (() => Promise<void> | void)[];
}): Promise<RunResult> {
  const { options, identity, events, cleanups } = parts;
  const { runtime, account, sandbox } = options;
  const directory = createRunDirectory(account);
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  let binding: Binding | undefined;
  const source = new LaunchedSource({ identity, binding: () => binding });
  const socketPath = join(directory, SOCKET);
  const api = await createWorkloadApi({ source, socketPath, now: () => nowSeconds(runtime) });
  cleanups.push(() => api.close());
  const wayOut = await openWayOutFor(sandbox, directory);
  if (wayOut !== undefined) cleanups.push(() => wayOut.close());
  const gateway = await openGatewayProxy({ identity, sandbox, directory, binding: () => binding });
  if (gateway !== undefined) cleanups.push(() => gateway.proxy.close());
  const group = sandbox === undefined ? createControlGroup(`trustwarden-${process.pid}`) : undefined;
  if (group !== undefined) cleanups.push(() => group.remove());
  const environment = cleanEnvironment(options.environment, options);
  const planned = planBinding(options, group);
  options.onReady(formatReport({ identity, socketPath, binding: planned, environment, gateway }));
  const launched = await launchProcess({
    command: formatCommand(options, { directory, wayOut, gateway }),
    environment: {
      ...environment.variables,
      ...variablesOf(gateway),
      SPIFFE_ENDPOINT_SOCKET: `unix://${socketPath}`,
    },
    joinFile: group?.joinFile,
    account,
    findTarget: sandbox === undefined ? undefined : findInside,
    isOnTerminal: options.isOnTerminal,
    signals: options.signals,
  });
  binding = sandbox === undefined ? planned : bindToNamespaceBelow(launched.pid);
  follow({ launched, source, events, group, endsOnRevoke: options.endsOnRevoke });
  const exitCode = await launched.ended;
  const { isRevoked } = events;
  group?.kill();
  source.end(new TrustWardenError("workload_gone"));
  if (!isRevoked) await endInstance(identity);
  return { exitCode, isRevoked, refusedPlaces: wayOut?.refused ?? [] };
}

/**
 * A private directory. Another account can enter it by its group and change nothing there: root sets modes and removes files
 * in it, which a link in the right moment would turn on files elsewhere.
 */
function createRunDirectory(account: RunOptions["account"]): string {
  const directory = mkdtempSync(join(tmpdir(), "warden-run-"));
  if (account !== undefined) chownSync(directory, 0, account.gid);
  chmodSync(directory, account === undefined ? 0o700 : 0o710);
  return directory;
}

function openWayOutFor(sandbox: SandboxPlan | undefined, directory: string): Promise<WayOut | undefined> {
  if (sandbox === undefined) return Promise.resolve(undefined);
  return openWayOut({ socketPath: join(directory, WAY_OUT_SOCKET), allowed: sandbox.allowed });
}

/** The way to the gateway, and how its clients find it. */
interface RunGateway {
  readonly proxy: LocalProxy;
  readonly variables: GatewayVariables;
}

/** Undefined when the server has no gateway. */
async function openGatewayProxy(parts: {
  readonly identity: DeliveredIdentity;
  readonly sandbox: SandboxPlan | undefined;
  readonly directory: string;
  readonly binding: () => Binding | undefined;
}): Promise<RunGateway | undefined> {
  const { identity, sandbox, directory, binding } = parts;
  const upstreams = await identity.gatewayUpstreams();
  if (upstreams === undefined) return undefined;
  const proxy = await openLocalProxy({
    call: (call) => identity.callGateway(call),
    tunnel: (place) => identity.openTunnel(place),
    binding,
    socketPath: sandbox === undefined ? undefined : join(directory, GATEWAY_SOCKET),
  });
  // Places that the operator of this machine named go out past the gateway, by the sandbox's own way.
  const hasOwnWay = sandbox !== undefined && sandbox.allowed.length > 0;
  const reachable = hasOwnWay ? upstreams.filter(({ kind }) => kind !== "egress") : upstreams;
  return { proxy, variables: gatewayVariables(reachable) };
}

/** Inside walls the port is the forwarder's, which sets the rest. */
function variablesOf(gateway: RunGateway | undefined): Readonly<Record<string, string>> {
  if (gateway === undefined) return {};
  const { proxy, variables } = gateway;
  return proxy.port === null ? variables.values : formatGatewayVariables(variables, proxy.port);
}

function planBinding({ account, sandbox }: RunOptions, group: ControlGroupHandle | undefined): Binding {
  if (sandbox !== undefined)
    return { strength: "launcher", by: "process namespace of the sandbox", belongs: () => false };
  const own = process.getuid?.() ?? 0;
  if (account !== undefined && account.uid !== own) return bindToAccount(account.uid, group?.path);
  if (group !== undefined) return bindToControlGroup(group.path);
  return bindToSameAccount(own);
}

function formatReport(parts: {
  readonly identity: DeliveredIdentity;
  readonly socketPath: string;
  readonly binding: Binding;
  readonly environment: CleanEnvironment;
  readonly gateway: RunGateway | undefined;
}): RunReport {
  const { identity, socketPath, binding, environment, gateway } = parts;
  const { scope, instance_expires_at } = identity.answer;
  const [own, ofClass] = identity.current().identities;
  const { removed, kept } = environment;
  return {
    spiffeId: own.spiffeId,
    classSpiffeId: ofClass.spiffeId,
    scope,
    expiresAt: instance_expires_at,
    socketPath,
    strength: binding.strength,
    boundBy: binding.by,
    environment: { removed, kept },
    gateway: gateway === undefined ? null : Object.keys(gateway.variables.paths),
  };
}

function formatCommand(
  { command, sandbox }: RunOptions,
  {
    directory,
    wayOut,
    gateway,
  }: {
    readonly directory: string;
    readonly wayOut: WayOut | undefined;
    readonly gateway: RunGateway | undefined;
  },
): readonly string[] {
  if (sandbox === undefined || wayOut === undefined) return command;
  // The forwarder is a program of this package, run by the same Node: both must be visible inside.
  const forwarder = join(import.meta.dirname, "inside.ts");
  const { workingDirectory, readOnly, hidden, never } = sandbox;
  const visible = [...readOnly, dirname(process.execPath), import.meta.dirname];
  const paths = JSON.stringify(gateway?.variables.paths ?? {});
  const socket = gateway === undefined ? "-" : join(directory, GATEWAY_SOCKET);
  const inside = [process.execPath, forwarder, wayOut.socketPath, socket, paths, ...command];
  const walls = { runDirectory: directory, workingDirectory, readOnly: visible, hidden, never };
  return [SANDBOX_PROGRAM, ...formatSandboxArguments(walls, inside)];
}

function follow(parts: {
  readonly launched: LaunchedProcess;
  readonly source: LaunchedSource;
  readonly events: LaunchEvents;
  readonly group: ControlGroupHandle | undefined;
  readonly endsOnRevoke: boolean;
}): void {
  const { launched, source, events, endsOnRevoke } = parts;
  const onRevoked = (): void => {
    events.isRevoked = true;
    source.end(new TrustWardenError("no_identity"));
    if (endsOnRevoke) launched.stop();
  };
  events.onChange = () => source.publish();
  events.onRevoked = onRevoked;
  if (events.isRevoked) onRevoked();
}

/** The process is gone, and its instance with it; a server that cannot be reached lets it run out instead. */
async function endInstance(identity: DeliveredIdentity): Promise<void> {
  const limit = new Promise<void>((resolve) => setTimeout(resolve, END_TIMEOUT_MS).unref());
  await Promise.race([identity.revoke("the launched process ended").catch(ignoreRefusal), limit]);
}

/** Safe: what could not be ended ends by itself within its SVID's life, and nobody has its key any more. */
function ignoreRefusal(error: unknown): void {
  if (!(error instanceof TrustWardenError)) throw error;
}
