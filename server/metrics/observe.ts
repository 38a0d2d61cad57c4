/** Puts the figures around what they are about: the path's ports, commands, the feed, the ledger, the log. */
import type { Decision } from "@trustwarden/core/decision.ts";
import type { GuardPorts } from "@trustwarden/core/guard.ts";
import type { Broker } from "../broker/ports.ts";
import type { EventLog, Services } from "../http/services.ts";
import type { LogWriter } from "../ledger/ledger.ts";
import type { StoreCommands } from "../store/ports.ts";
import type { Tracer } from "../traces/tracer.ts";
import type { Figures } from "./figures.ts";
import type { Plane, Step } from "./labels.ts";

const MS_PER_SECOND = 1000;

/** The figures, and the clock that they are measured with. */
export interface Meter {
  readonly figures: Figures;
  /** Monotonic milliseconds. */
  readonly monoMs: () => number;
  /** Absent where nobody collects spans. */
  readonly tracer?: Tracer | undefined;
}

/** The same ports, each step timed and each decision counted; what they do and throw stays theirs. */
export function observePath<Arrival extends object, Principal, Receipt>(
  { figures, monoMs, tracer }: Meter,
  plane: Plane,
  ports: GuardPorts<Arrival, Principal, Receipt>,
): GuardPorts<Arrival, Principal, Receipt> {
  const note = (arrival: Arrival, { step, fromMs, isFailed }: Noted): void => {
    figures.steps.observe({ plane, step }, (monoMs() - fromMs) / MS_PER_SECOND);
    tracer?.step(arrival, { name: step, fromMs, isFailed });
  };
  const timed = async <T>(arrival: Arrival, step: Step, run: () => Promise<T>): Promise<T> => {
    const fromMs = monoMs();
    let isFailed = true;
    try {
      const done = await run();
      isFailed = false;
      return done;
    } finally {
      note(arrival, { step, fromMs, isFailed });
    }
  };
  let actedFromMs: number | undefined;
  return {
    authenticate: (arrival) => timed(arrival, "authenticate", () => ports.authenticate(arrival)),
    decide: async (arrival, principal) => {
      const decision = await timed(arrival, "decide", () => ports.decide(arrival, principal));
      countDecision(figures, plane, decision);
      return decision;
    },
    record: (arrival, principal, decision) =>
      timed(arrival, "record", () => ports.record(arrival, principal, decision)),
    requireLive: (principal, decision) => {
      actedFromMs = monoMs();
      ports.requireLive(principal, decision);
    },
    recordOutcome: (permit, outcome) => {
      const isFailed = outcome.status !== "success";
      if (actedFromMs !== undefined) note(permit.arrival, { step: "act", fromMs: actedFromMs, isFailed });
      return timed(permit.arrival, "outcome", () => ports.recordOutcome(permit, outcome));
    },
  };
}

/** One step that was taken. */
interface Noted {
  readonly step: Step;
  readonly fromMs: number;
  readonly isFailed: boolean;
}

function countDecision(figures: Figures, plane: Plane, decision: Decision): void {
  figures.decisions.add({ plane, class: decision.class, effect: decision.effect });
  for (const reason of decision.reasons) figures.reasons.add({ reason });
}

/** The same store, each of its commands counted and timed. */
export function observeStore<Store extends { readonly commands: StoreCommands }>(
  meter: Meter,
  store: Store,
): Store {
  return withMember(store, "commands", observeCommands(meter, store.commands));
}

function observeCommands({ figures, monoMs }: Meter, commands: StoreCommands): StoreCommands {
  // Every command has one form, so one handler stands for all of them, those of later versions too.
  return new Proxy(commands, {
    get(target, name, receiver) {
      const command: unknown = Reflect.get(target, name, receiver);
      if (typeof command !== "function" || typeof name !== "string" || name === "close") return command;
      return async (...given: readonly unknown[]): Promise<unknown> => {
        let result = "failure";
        const fromMs = monoMs();
        try {
          const committed: unknown = await Reflect.apply(command, target, given);
          result = "success";
          return committed;
        } finally {
          figures.commands.add({ command: name, result });
          figures.commandSeconds.observe({}, (monoMs() - fromMs) / MS_PER_SECOND);
        }
      };
    },
  });
}

/** The same feed, with the time of each push until the last lease knew. */
export function observeFeed<Feed extends Services["feed"]>({ figures }: Meter, feed: Feed): Feed {
  const publish: Services["feed"]["publish"] = async (targets, epoch) => {
    const published = await feed.publish(targets, epoch);
    figures.pushes.observe({ target: targets[0]?.kind ?? "" }, published.elapsedMs / MS_PER_SECOND);
    figures.pushedLeases.add({ result: "acked" }, published.acked);
    figures.pushedLeases.add({ result: "expired" }, published.expired);
    return published;
  };
  return withMember(feed, "publish", publish);
}

/** The same log of entries, with the time until they are durable. */
export function observeLog<Log extends LogWriter>({ figures, monoMs }: Meter, log: Log): Log {
  const append: LogWriter["append"] = async (entries, id) => {
    const fromMs = monoMs();
    try {
      const appended = await log.append(entries, id);
      figures.appends.observe({}, (monoMs() - fromMs) / MS_PER_SECOND);
      figures.appended.add({}, entries.length);
      return appended;
    } catch (error) {
      figures.failedAppends.add({});
      throw error;
    }
  };
  return withMember(log, "append", append);
}

/** The same broker, with each use of a secret counted. */
export function observeBroker<Secrets extends Broker>({ figures }: Meter, broker: Secrets): Secrets {
  const inject: Broker["inject"] = async (use) => {
    let result = "failure";
    try {
      const injection = await broker.inject(use);
      result = "success";
      return injection;
    } finally {
      figures.secretUses.add({ result });
    }
  };
  return withMember(broker, "inject", inject);
}

/** The same log of the server, with its troubles counted; a request's own failure carries a status. */
export function observeEvents({ figures }: Pick<Meter, "figures">, log: EventLog): EventLog {
  const count = (level: string, { code, status }: Parameters<EventLog["info"]>[0]): void => {
    if (typeof code === "string" && status !== undefined) figures.refusals.add({ code });
    else if (level !== "info") figures.troubles.add({ level, code: String(code ?? "") });
  };
  return {
    info: (facts, message) => {
      count("info", facts);
      log.info(facts, message);
    },
    warn: (facts, message) => {
      count("warn", facts);
      log.warn(facts, message);
    },
    error: (facts, message) => {
      count("error", facts);
      log.error(facts, message);
    },
  };
}

/** The same object with another member of one name; private members of a class are reached through the object itself only. */
function withMember<Target extends object, Name extends keyof Target & string>(
  target: Target,
  name: Name,
  member: Target[Name],
): Target {
  return new Proxy(target, {
    get(_target, asked) {
      if (asked === name) return member;
      const found: unknown = Reflect.get(target, asked, target);
      return typeof found === "function" ? found.bind(target) : found;
    },
  });
}
