/** Where a run happens and with what: a figure without its machine and versions says nothing. */
import { cpus, loadavg, release, totalmem, type } from "node:os";
import { SERVER_VERSION } from "../server/version.ts";
import type { BenchReport, Machine } from "./report.ts";

const BYTES_PER_GIB = 2 ** 30;

/** This machine, now. */
export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memory_gib: Math.round(totalmem() / BYTES_PER_GIB),
    os: `${type()} ${release()} ${process.arch}`,
    load: Number((loadavg()[0] ?? 0).toFixed(1)),
    at: new Date().toISOString(),
  };
}

/** What is measured and what it runs on. */
export function describeVersions(): BenchReport["versions"] {
  const { node, openssl, v8 } = process.versions;
  return { trustwarden: SERVER_VERSION, node, openssl, v8 };
}
