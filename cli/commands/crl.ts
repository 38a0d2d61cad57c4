/**
 * `warden crl`: the certificate revocation lists, for programs that know nothing of leases.
 *
 * Meant to run every minute: a file is replaced whole, so that a program which reads it meanwhile never sees half a list.
 */
import { parseCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { replaceFile } from "../identity-files.ts";
import { formatTable } from "../output.ts";

interface CrlOptions {
  readonly pem?: boolean;
  readonly out?: string;
}

export function addCrlCommand(program: Command, runtime: Runtime): void {
  program
    .command("crl")
    .description("which certificates are revoked, as a list that other programs read (RFC 5280)")
    .option("--pem", "every list that a chain may need, the root's too, as PEM")
    .option(
      "--out <file>",
      "write it there, whole or not at all; without --pem the DER of the present issuer's list",
    )
    .addHelpText("after", examples("warden crl", "warden crl --pem --out /etc/trustwarden/crl.pem"))
    .action((options: CrlOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The revocation list could not be had.",
        run: (session) => showCrl(session, options),
      }),
    );
}

async function showCrl({ client, output }: Session, { pem = false, out }: CrlOptions): Promise<void> {
  const der = await client.getBytes("/v1/crl");
  const list = parseCertificateRevocationList(der);
  const text = pem ? await client.getText("/v1/crl.pem") : undefined;
  if (out !== undefined) replaceFile(out, text ?? der);
  const revoked = list.revoked.map(({ serialHex, revokedAt, reason }) => ({
    serial: serialHex,
    revoked_at: formatTime(revokedAt * 1000),
    reason,
  }));
  const facts = {
    number: list.number,
    this_update: formatTime(list.thisUpdate * 1000),
    next_update: formatTime(list.nextUpdate * 1000),
    revoked,
    ...(out === undefined ? {} : { file: out }),
    ...(text === undefined ? {} : { pem: text }),
  };
  if (text !== undefined && out === undefined) {
    output.show(facts, [text.trimEnd()]);
    return;
  }
  const rows = revoked.map(({ serial, revoked_at, reason }) => [serial, revoked_at, reason]);
  output.show(facts, [
    `List ${list.number}, from ${facts.this_update} until ${facts.next_update}.`,
    ...formatTable(["SERIAL", "REVOKED", "REASON"], rows, "No certificate in use is revoked."),
    ...(out === undefined ? [] : [`Written to ${out}.`]),
  ]);
}
