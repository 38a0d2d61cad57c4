/**
 * `warden owner`: the humans and organizations at the root of every chain, each a key pair made on this machine.
 */
import { ownerAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import type { Command } from "commander";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";
import { formatTable } from "../output.ts";
import { createOwnerKey } from "../owner-keys.ts";
import { fetchOwners } from "../owners.ts";
import { fetchServerDescription } from "../server-description.ts";

export function addOwnerCommands(program: Command, runtime: Runtime): void {
  const owner = program
    .command("owner")
    .description("owners: the humans at the root of every chain")
    .addHelpText("after", examples("warden owner create alice", "warden owner list"));
  owner
    .command("create")
    .description("make an owner and its key; the private key stays in the configuration directory")
    .argument("<name>", "such as alice or acme-finance")
    .addHelpText(
      "after",
      examples("warden owner create alice", "warden owner create alice --config-dir ~/keys --json"),
    )
    .action((name: string, _options: unknown, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: `The owner ${name} was not created.`,
        run: (session) => createOwner(session, name),
      }),
    );
  owner
    .command("list")
    .description("every owner, with its number of agents")
    .addHelpText("after", examples("warden owner list", "warden owner list --json"))
    .action((_options: unknown, command: Command) =>
      runCommand({ runtime, command, refusal: "The owners could not be listed.", run: listOwners }),
    );
}

async function createOwner({ client, paths, output }: Session, name: string): Promise<void> {
  const server = await fetchServerDescription(client);
  const key = createOwnerKey(paths, name);
  const body = { name, spki: encodeBase64url(key.spki) };
  const answer = await client
    .post({ target: "/v1/owners", body, schema: ownerAnswer })
    .catch((error: unknown) => {
      // The server knows no such owner, so the key is of no use; once it does know, the key is never removed.
      key.discard();
      throw error;
    });
  key.keep({ ...server, ownerId: answer.owner_id, name });
  output.show({ ...answer, key_directory: paths.ownersDir }, [
    `Owner ${name} is ${answer.owner_id}.`,
    `Its key is ${paths.ownersDir}/${name}.pem: whoever holds it can create agents in this owner's name. Back it up.`,
  ]);
}

async function listOwners({ client, output }: Session): Promise<void> {
  const owners = await fetchOwners(client);
  const rows = owners.map((owner) => [owner.name, owner.owner_id, owner.status, String(owner.agents)]);
  output.show(
    { owners },
    formatTable(
      ["NAME", "ID", "STATUS", "AGENTS"],
      rows,
      "No owners yet: make one with `warden owner create`.",
    ),
  );
}
