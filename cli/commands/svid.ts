/**
 * `warden svid write`: keeps an identity of the Workload API in files, for programs that take certificates from there.
 *
 * It stays until it is told to stop. The identity is this process's own: the node watches it, and ends the identity with
 * it; so the files are taken away at the end, and as soon as the identity is withdrawn.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Command } from "commander";
import {
  createWorkloadApiClient,
  type WorkloadApiClient,
  type WorkloadX509State,
  type WorkloadX509Svid,
} from "trustwarden";
import { askedToEnd } from "../asked-to-end.ts";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { removeIdentityFiles, writeIdentityFiles } from "../identity-files.ts";
import { printable } from "../output.ts";

interface WriteOptions {
  readonly dir: string;
  readonly socket?: string;
  readonly hint?: string;
}

export function addSvidCommands(program: Command, runtime: Runtime): void {
  const svid = program
    .command("svid")
    .description("the identities of this process, from the Workload API of its host")
    .addHelpText("after", examples("warden svid write --dir /run/payments"));
  svid
    .command("write")
    .description("keep svid.pem, svid.key and roots.pem in a directory, renewed in time, until stopped")
    .requiredOption("--dir <dir>", "made 0700 when it is not there")
    .option("--socket <uri>", "unix:///path of the Workload API; SPIFFE_ENDPOINT_SOCKET unless given")
    .option("--hint <hint>", "which identity, where there are several; the first unless given")
    .addHelpText(
      "after",
      examples(
        "warden svid write --dir /run/payments --socket unix:///run/trustwarden/agent.sock",
        "curl --cert /run/payments/svid.pem --key /run/payments/svid.key https://tools.example/",
      ),
    )
    .action((options: WriteOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The identity was not written.",
        run: (session) => keepFiles(session, options),
      }),
    );
}

async function keepFiles({ io, output }: Session, { dir, socket, hint }: WriteOptions): Promise<void> {
  const endpoint = socket ?? io.env.SPIFFE_ENDPOINT_SOCKET;
  if (endpoint === undefined) {
    throw new TrustWardenError("endpoint_malformed", {
      why: "no Workload API is named",
      next: "Set SPIFFE_ENDPOINT_SOCKET, or give --socket.",
    });
  }
  const client = createWorkloadApiClient({ socket: endpoint });
  try {
    // The first answer decides whether there is anything to keep; what goes wrong later is told and tried again.
    write(dir, await client.fetchX509(), hint);
    await followUntilStopped(client, {
      onState: (state) => {
        const { spiffeId, expiresAt } = write(dir, state, hint);
        output.show({ spiffe_id: spiffeId, expires_at: expiresAt, dir }, [
          `${printable(spiffeId)}, until ${new Date(expiresAt * 1000).toISOString()}, in ${dir}`,
        ]);
      },
      onError: ({ code }) => {
        if (code === "no_identity") removeIdentityFiles(dir);
        // The end of the watch is the end of the command, which says why.
        if (code === "request_malformed") return;
        output.note(`${code}: ${code === "no_identity" ? "the files were taken away" : "trying again"}`);
      },
    });
  } finally {
    removeIdentityFiles(dir);
    client.close();
  }
}

function write(dir: string, state: WorkloadX509State, hint: string | undefined): WorkloadX509Svid {
  const svid = hint === undefined ? state.svids[0] : state.svids.find((one) => one.hint === hint);
  if (svid === undefined) {
    const hints = state.svids.map((one) => printable(one.hint)).join(", ");
    throw new TrustWardenError("usage", { why: `no identity has this hint; there are: ${hints}` });
  }
  writeIdentityFiles(dir, svid, state);
  return svid;
}

/** Rejects with what the watcher throws: a full disk ends the command, it does not go unnoticed. */
async function followUntilStopped(
  client: WorkloadApiClient,
  { onState, onError }: Parameters<WorkloadApiClient["watchX509"]>[0],
): Promise<void> {
  const failed = Promise.withResolvers<never>();
  const ending = askedToEnd();
  const watch = client.watchX509({
    onState: (state) => {
      try {
        onState(state);
      } catch (error) {
        failed.reject(error);
      }
    },
    onError,
    onEnd: failed.reject,
  });
  // Nothing else keeps the process alive while the endpoint is away.
  const keepAlive = setInterval(() => {}, 60_000);
  try {
    await Promise.race([ending, failed.promise]);
  } finally {
    clearInterval(keepAlive);
    watch.close();
  }
}
