/** What the process itself uses, read when somebody asks, under the names that Prometheus' own clients give them. */
import { readdirSync, readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, type Family, Gauge } from "./exposition.ts";

const DELAY_RESOLUTION_MS = 10;
const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;
const PLACES = { median: 50, p99: 99, max: 100 } as const;
const NO_LABELS = {};

/** Owns the histogram of the event loop's delay; it is begun anew at each reading. */
export class ProcessFigures {
  readonly #delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  readonly #startedAt: number;
  readonly #build: { readonly version: string; readonly node: string };

  /** @param startedAt - Unix seconds. */
  constructor(options: { readonly version: string; readonly startedAt: number }) {
    this.#startedAt = options.startedAt;
    this.#build = { version: options.version, node: process.version };
    this.#delay.enable();
  }

  close(): void {
    this.#delay.disable();
  }

  read(): readonly Family[] {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    const descriptors = readDescriptors();
    return [
      this.#buildInfo(),
      this.#loopDelay(),
      readCounter("process_cpu_seconds_total", "CPU time of all threads.", (user + system) / MICROSECONDS),
      readGauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", rss),
      readGauge("nodejs_heap_size_used_bytes", "JavaScript heap of the main thread.", heapUsed),
      readGauge("process_start_time_seconds", "When the server started, Unix time.", this.#startedAt),
      ...(descriptors === undefined
        ? []
        : [
            readGauge("process_open_fds", "Open file descriptors.", descriptors.open),
            readGauge("process_max_fds", "Most file descriptors that may be open.", descriptors.most),
          ]),
    ];
  }

  #buildInfo(): Family {
    const { version, node } = this.#build;
    const info = new Gauge(
      { name: "trustwarden_build_info", help: "1; its labels say what runs." },
      { version: [version], node: [node] },
    );
    info.set({ version, node }, 1);
    return info;
  }

  /** By how much turns of the event loop came late since the last reading; stops and leases share the loop. */
  #loopDelay(): Family {
    const gauge = new Gauge(
      {
        name: "nodejs_eventloop_delay_seconds",
        help: "Delay of the event loop since the last scrape: half of it, 99 in 100, all below.",
      },
      { place: Object.keys(PLACES) },
    );
    for (const [place, percent] of Object.entries(PLACES)) {
      const nanoseconds = this.#delay.count === 0 ? 0 : this.#delay.percentile(percent);
      gauge.set({ place }, nanoseconds / NANOSECONDS);
    }
    this.#delay.reset();
    return gauge;
  }
}

/** A gauge without labels, for one reading. */
export function readGauge(name: string, help: string, value: number): Family {
  const gauge = new Gauge({ name, help }, NO_LABELS);
  gauge.set(NO_LABELS, value);
  return gauge;
}

/** A counter without labels that somebody else counts. */
function readCounter(name: string, help: string, value: number): Family {
  const counter = new Counter({ name, help }, NO_LABELS);
  counter.add(NO_LABELS, value);
  return counter;
}

/** Undefined where the system has no `/proc`. */
function readDescriptors(): { readonly open: number; readonly most: number } | undefined {
  try {
    const open = readdirSync("/proc/self/fd").length;
    const limits = readFileSync("/proc/self/limits", "utf8");
    const most = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.NaN);
    return Number.isNaN(most) ? undefined : { open, most };
  } catch {
    // Safe to go on: another system; the two figures are then missing, which an alarm on their absence can see.
    return undefined;
  }
}
