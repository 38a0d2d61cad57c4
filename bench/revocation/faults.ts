/**
 * What goes wrong while somebody is stopped, for the revocation run: late or losing links between the verifiers and
 * whom they follow, a cut of half of them, a server that stands still.
 */
import { type FaultyLink, openFaultyLink } from "../../test/support/faulty-link.ts";

/** A fault of the command line. `delay` and `loss` are of each direction, and there all the time. */
export type Fault =
  | { readonly kind: "none" }
  | { readonly kind: "delay"; readonly delayMs: number }
  | { readonly kind: "loss"; readonly loss: number }
  /** Every other verifier process is parted from whom it follows. */
  | { readonly kind: "cut"; readonly lastsMs: number }
  /** The server is stopped by SIGSTOP. */
  | { readonly kind: "stop"; readonly lastsMs: number };

/** Without a number: longer than any lease, and short enough for many of them. */
const STOP_MS = 2_000;

/**
 * `delay=100` (milliseconds), `loss=2` (percent), `cut=10s`, `stop` or `stop=3s`; nothing for no fault.
 *
 * @throws Error for anything else.
 */
export function parseFault(text: string | undefined): Fault {
  if (text === undefined) return { kind: "none" };
  if (text === "stop") return { kind: "stop", lastsMs: STOP_MS };
  const [, kind, digits] = /^(delay|loss|cut|stop)=([0-9]{1,5})(?:ms|%|s)?$/.exec(text) ?? [];
  const number = Number(digits);
  switch (kind) {
    case "delay":
      return { kind, delayMs: number };
    case "loss":
      return { kind, loss: number / 100 };
    case "cut":
    case "stop":
      return { kind, lastsMs: number * 1000 };
    default:
      throw new Error("--fault takes delay=MS, loss=PERCENT, cut=SECONDSs or stop");
  }
}

/** The links of a run. */
export interface Network {
  /** Origins that a verifier process is told, instead of those that there are. */
  readonly origins: (processIndex: number) => readonly string[];
  /** Whether a process is cut off by `strike`. */
  readonly isCutOff: (processIndex: number) => boolean;
  /** Begins what lasts, or what comes each time. */
  strike(): void;
  heal(): void;
  close(): Promise<void>;
}

/** Puts links before each of the origins, unless the network has no part in the fault. */
export async function openNetwork(
  fault: Fault,
  { origins, serverPid }: { readonly origins: readonly string[]; readonly serverPid: number },
): Promise<Network> {
  if (fault.kind === "none" || fault.kind === "stop") {
    return {
      origins: () => origins,
      isCutOff: () => fault.kind === "stop",
      strike: () => signal(serverPid, "SIGSTOP", fault),
      heal: () => signal(serverPid, "SIGCONT", fault),
      // A process that stands still does not hear that it shall end.
      close: async () => signal(serverPid, "SIGCONT", fault),
    };
  }
  const open = () => Promise.all(origins.map((origin) => openFaultyLink(Number(new URL(origin).port))));
  const [faulty, sound] = [await open(), await open()];
  const isFaulty = (index: number) => fault.kind !== "cut" || index % 2 === 0;
  return {
    origins: (index) => (isFaulty(index) ? faulty : sound).map(originOf),
    isCutOff: (index) => fault.kind === "cut" && isFaulty(index),
    strike: () => {
      for (const link of faulty) strike(link, fault);
    },
    heal: () => {
      for (const link of faulty) link.heal();
    },
    close: async () => {
      for (const link of [...faulty, ...sound]) await link.close();
    },
  };
}

function strike(link: FaultyLink, fault: Fault): void {
  if (fault.kind === "cut") link.part();
  if (fault.kind === "delay") link.weather({ delayMs: fault.delayMs });
  if (fault.kind === "loss") link.weather({ loss: fault.loss });
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT", fault: Fault): void {
  if (fault.kind === "stop") process.kill(pid, name);
}

function originOf({ port }: FaultyLink): string {
  return `https://127.0.0.1:${port}`;
}
