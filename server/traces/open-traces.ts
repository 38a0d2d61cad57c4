/** Opens what spans go through, where the configuration asks for it. */
import { readFileSync } from "node:fs";
import type { Random } from "@trustwarden/core/id.ts";
import type { Clock } from "../clock.ts";
import type { EventLog } from "../http/services.ts";
import type { Cleanup } from "../parts.ts";
import { SERVER_VERSION } from "../version.ts";
import type { TracesSettings } from "./config.ts";
import { SpanExporter } from "./span-exporter.ts";
import { PathTracer, type Tracer } from "./tracer.ts";

/** Undefined where nobody collects spans. Throws what reading the authorities' file fails with. */
export function openTraces(
  settings: TracesSettings | undefined,
  parts: {
    readonly clock: Clock;
    readonly random: Random;
    readonly log: EventLog;
    /** Gets what sends the last spans. */
    readonly cleanups: Cleanup[];
  },
): Tracer | undefined {
  if (settings === undefined) return undefined;
  const { clock, random, log, cleanups } = parts;
  const ca = settings.caFile === undefined ? undefined : readFileSync(settings.caFile, "utf8");
  const monoMs = () => clock.monoMs();
  const exporter = new SpanExporter({ settings, ca, version: SERVER_VERSION, monoMs, log });
  cleanups.push(() => exporter.close());
  return new PathTracer({ exporter, sample: settings.sample, random, clock });
}
