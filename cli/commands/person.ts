/**
 * `warden person`: one-time links by which people come to the console. The server keeps what a link gives; the link
 * itself is a secret that is shown here, once.
 */
import { linkAnswer, type PersonView, peopleList, personView } from "@trustwarden/core/api/people.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { ROLES } from "@trustwarden/core/role.ts";
import type { Command } from "commander";
import { type Client, readPages } from "../client.ts";
import { examples, type Runtime, repeatable, runCommand, type Session } from "../command.ts";

interface LinkOptions {
  readonly role?: readonly string[];
  readonly person?: string;
  readonly owner?: string;
  readonly address?: string;
}

export function addPersonCommands(program: Command, runtime: Runtime): void {
  const person = program
    .command("person")
    .description("people: who logs in to the console with a passkey")
    .addHelpText("after", examples("warden person link", "warden person link --role auditor"));
  person
    .command("link")
    .description("a one-time link: for the first admin, for somebody invited, or for lost passkeys")
    .addOption(repeatable("--role <role>", `${ROLES.join(", ")}; may be repeated; none for the first admin`))
    .option("--person <id>", "whose passkeys are lost: prs_…; its roles stay as they are")
    .option("--owner <id>", "an owner that the invited person is: own_…")
    .option("--address <address>", "the invited person's; kept sealed, and nobody else may look like it")
    .addHelpText(
      "after",
      examples(
        "warden person link                                  # the first admin",
        "warden person link --role operator --address ada@acme.test",
        "warden person link --person prs_01J0000000000000000000000A",
      ),
    )
    .action((options: LinkOptions, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "No link was made.",
        run: (session) => showLink(session, options),
      }),
    );
  addLifeCommands(person, runtime);
}

function addLifeCommands(person: Command, runtime: Runtime): void {
  person
    .command("list")
    .description("who may come, and who might once")
    .addHelpText("after", examples("warden person list", "warden person list --json"))
    .action((_options: object, command: Command) =>
      runCommand({ runtime, command, refusal: "Nobody can be listed.", run: listPeople }),
    );
  person
    .command("roles")
    .description("what somebody may be from now on")
    .argument("<id>", "prs_…")
    .argument("<role...>", ROLES.join(", "))
    .addHelpText("after", examples("warden person roles prs_01J0000000000000000000000A auditor"))
    .action((id: string, roles: readonly string[], _options: object, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The roles are as they were.",
        run: (session) => changePerson(session, { id, act: "roles", body: { roles: [...roles] } }),
      }),
    );
  person
    .command("end")
    .description("end somebody, with every session and passkey, for good")
    .argument("<id>", "prs_…")
    .option(
      "--suspend",
      "an owner leaves: every agent below it stops first, and nobody signs for them any more",
    )
    .addHelpText(
      "after",
      examples(
        "warden person end prs_01J0000000000000000000000A",
        "warden person end prs_01J0000000000000000000000A --suspend   # an owner with agents",
      ),
    )
    .action((id: string, { suspend }: { readonly suspend?: true }, command: Command) =>
      runCommand({
        runtime,
        command,
        refusal: "The person may still come.",
        run: (session) =>
          changePerson(session, { id, act: "end", body: suspend === true ? { subtree: "suspend" } : {} }),
      }),
    );
}

async function listPeople({ client, output }: Session): Promise<void> {
  const people: PersonView[] = [];
  const list = { path: "/v1/people", query: { limit: 500 }, schema: peopleList };
  for await (const page of readPages(client, list)) people.push(...page.people);
  output.show({ people }, people.map(formatPerson));
}

async function changePerson(
  { client, output }: Session,
  { id, act, body }: { readonly id: string; readonly act: "roles" | "end"; readonly body: JsonObject },
): Promise<void> {
  const target = `/v1/people/${encodeURIComponent(id)}/${act}`;
  const answer = await client.post({ target, body, schema: personView });
  output.show(answer, [formatPerson(answer)]);
}

function formatPerson({ person_id: id, name, roles, ended_at: endedAt }: PersonView): string {
  return `${id}  ${endedAt === null ? roles.join(",") : "ended"}  ${name}`;
}

/** The first admin's link, or null where there is an admin. */
export async function createFirstLink(client: Client): Promise<string | null> {
  try {
    const { link } = await client.post({ target: "/v1/people/links", body: {}, schema: linkAnswer });
    return link;
  } catch (error) {
    // Safe to go on: without roles a link is for the first admin, and is refused where there is one.
    if (error instanceof TrustWardenError && error.code === "request_malformed") return null;
    throw error;
  }
}

async function showLink({ client, output }: Session, options: LinkOptions): Promise<void> {
  const { role: roles, ...named } = options;
  const body = { ...named, ...(roles === undefined ? {} : { roles: [...roles] }) };
  const answer = await client.post({ target: "/v1/people/links", body, schema: linkAnswer });
  const until = new Date(answer.expires_at * 1000).toISOString();
  output.show(answer, [
    `Open the console at /app/welcome#${answer.link}`,
    `It makes a person with the roles ${answer.roles.join(", ")}, once, until ${until}. Whoever opens it first is that person.`,
  ]);
}
