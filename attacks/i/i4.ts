/** I4: a disk that fails under a server at work. */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { jsonOf, send } from "../../test/support/http.ts";
import { attachStrace, hasStrace } from "../../test/support/strace.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { enrolUntilDead, expectAllRecorded } from "../support/enrolments.ts";
import type { World } from "../support/world.ts";

/** Temporary files of the ledger, each the last of its tiles and checkpoints. */
const MAX_TEMPORARIES = 1000;
/** A server that is still there after this many more enrolments has not noticed. */
const MAX_ENROLMENTS = 60;
const STOP_TIMEOUT_MS = 45_000;

interface Failure {
  readonly name: string;
  readonly syscall: string;
  readonly inject: string;
  readonly files: readonly string[];
}

const FAILURES: readonly Failure[] = [
  {
    name: "the write-ahead log takes no more bytes",
    syscall: "pwrite64",
    inject: "pwrite64:error=ENOSPC:when=2+",
    files: ["000000000001.wal", "000000000002.wal"].map((name) => join("wal", name)),
  },
  {
    name: "a sync of tiles fails",
    syscall: "fsync",
    inject: "fsync:error=EIO:when=2+",
    files: Array.from({ length: MAX_TEMPORARIES }, (_, at) => join("tmp", String(at + 1))),
  },
];

async function failUnder(world: World, { syscall, inject, files }: Failure): Promise<readonly string[]> {
  const ledger = join(world.home.dataDir, "ledger");
  const { over } = await attachStrace({
    pid: world.child.pid,
    paths: files.map((file) => join(ledger, file)),
    syscalls: [syscall],
    inject,
    output: join(world.home.dataDir, "..", "trace"),
  });
  const certificates: string[] = [];
  for (let isAnswered = true; isAnswered && certificates.length < MAX_ENROLMENTS; ) {
    const enrolled = await enrolUntilDead(world, 1);
    certificates.push(...enrolled);
    isAnswered = enrolled.length > 0;
  }
  // Callers get their refusals for a moment, and the stops still go out; then the process ends.
  await Promise.race([world.child.exited, setTimeout(STOP_TIMEOUT_MS, undefined, { ref: false })]);
  expect(!world.child.isRunning(), "a server whose disk has failed stops");
  await over;
  return certificates;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I4",
  title:
    "the disk fails under a server at work: no space for the write-ahead log, a sync of tiles that fails",
  expected: "the server stops; everything that it answered is in the ledger, and the ledger verifies",
  weakening: "promise-before-durable",
  missing: () => (hasStrace() ? undefined : "strace, or the right to watch processes"),
  world: {},
  mayChange: [],
  prepare: async () => undefined,
  control: async (world) => {
    const certificates = await enrolUntilDead(world, 2);
    expectSame(certificates.length, 2, "with a whole disk everybody is enrolled");
  },
  attack: async (world) => {
    for (const failure of FAILURES) {
      const victim = await world.another();
      const { log_vkey: vkey } = jsonOf(
        await send(victim.server.url, { target: "/.well-known/trustwarden" }),
      );
      const before = await enrolUntilDead(victim, 1);
      const certificates = [...before, ...(await failUnder(victim, failure))];
      const restarted = world.unopened({}, [], victim.home);
      await expectAllRecorded(restarted, certificates, failure.name);
      await restarted.start();
      const { exitCode } = await restarted.warden("ledger", "verify", "--vkey", String(vkey));
      expectSame(exitCode, 0, `the ledger verifies after: ${failure.name}`);
      await restarted.child.stop();
    }
  },
  evidence: async (ledger) => {
    // The servers with the failing disks had ledgers of their own, read above; this one saw nothing.
    await ledger.expectNothing();
  },
});
