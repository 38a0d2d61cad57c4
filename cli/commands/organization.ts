/** `warden organization`: who belongs together, and who of them looks after the others' agents. */
import {
  type OrganizationView,
  organizationDetail,
  organizationEnded,
  organizationList,
  organizationView,
} from "@trustwarden/core/api/organizations.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { Command } from "commander";
import { readPages } from "../client.ts";
import { examples, type Runtime, runCommand, type Session } from "../command.ts";

const SOME = "org_01J0000000000000000000000A";
/** As many as the server gives at once. */
const PAGE = { limit: 500 };
const SOMEBODY = "prs_01J0000000000000000000000A";

export function addOrganizationCommands(program: Command, runtime: Runtime): void {
  const group = program
    .command("organization")
    .description("organizations: people who belong together, and who of them looks after the others' agents")
    .addHelpText("after", examples("warden organization create payments", "warden organization list"));
  const run =
    (refusal: string, work: (session: Session, ...given: string[]) => Promise<void>) =>
    (...given: unknown[]) => {
      const command = given.find((one) => one instanceof Command);
      if (command === undefined) throw new Error("commander gives the command along");
      const args = given.filter((one) => typeof one === "string");
      return runCommand({ runtime, command, refusal, run: (session) => work(session, ...args) });
    };
  group
    .command("create")
    .description("make an organization")
    .argument("<name>", "such as payments")
    .addHelpText("after", examples("warden organization create payments"))
    .action(run("No organization was made.", (session, name = "") => change(session, "", { name })));
  group
    .command("list")
    .description("every organization")
    .addHelpText("after", examples("warden organization list --json"))
    .action(run("Nothing can be listed.", list));
  group
    .command("show")
    .description("who belongs to one")
    .argument("<id>", "org_…")
    .addHelpText("after", examples(`warden organization show ${SOME}`))
    .action(run("It cannot be shown.", show));
  group
    .command("rename")
    .description("give one another name")
    .argument("<id>", "org_…")
    .argument("<name>", "the new one")
    .addHelpText("after", examples(`warden organization rename ${SOME} billing`))
    .action(
      run("The name is as it was.", (session, id = "", name = "") => change(session, `${id}/name`, { name })),
    );
  addMemberCommands(group, run);
}

type Run = (
  refusal: string,
  work: (session: Session, ...given: string[]) => Promise<void>,
) => (...given: unknown[]) => Promise<void>;

function addMemberCommands(group: Command, run: Run): void {
  group
    .command("add")
    .description("add somebody, or change what it is there")
    .argument("<id>", "org_…")
    .argument("<person>", "prs_…")
    .argument("[role]", "member, or admin, who sees and stops the members' agents", "member")
    .addHelpText("after", examples(`warden organization add ${SOME} ${SOMEBODY} admin`))
    .action(
      run("The members are as they were.", (session, id = "", person = "", role = "member") =>
        change(session, `${id}/members`, { person, role }),
      ),
    );
  group
    .command("remove")
    .description("take somebody out")
    .argument("<id>", "org_…")
    .argument("<person>", "prs_…")
    .addHelpText("after", examples(`warden organization remove ${SOME} ${SOMEBODY}`))
    .action(
      run("The members are as they were.", (session, id = "", person = "") =>
        change(session, `${id}/members/removal`, { person }),
      ),
    );
  group
    .command("end")
    .description("end one whose members answer for no live agents")
    .argument("<id>", "org_…")
    .addHelpText("after", examples(`warden organization end ${SOME}`))
    .action(run("The organization is as it was.", end));
}

async function change({ client, output }: Session, path: string, body: JsonObject): Promise<void> {
  const target = path === "" ? "/v1/organizations" : `/v1/organizations/${encoded(path)}`;
  const answer = await client.post({ target, body, schema: organizationView });
  output.show(answer, [formatOrganization(answer)]);
}

async function list({ client, output }: Session): Promise<void> {
  const organizations: OrganizationView[] = [];
  const all = { path: "/v1/organizations", query: PAGE, schema: organizationList };
  for await (const page of readPages(client, all)) organizations.push(...page.organizations);
  output.show({ organizations }, organizations.map(formatOrganization));
}

async function show({ client, output }: Session, id = ""): Promise<void> {
  const one = { path: `/v1/organizations/${encoded(id)}`, query: PAGE, schema: organizationDetail };
  const pages = await Array.fromAsync(readPages(client, one));
  const last = pages.at(-1);
  if (last === undefined) throw new Error("a list has a page");
  const people = pages.flatMap((page) => page.people);
  const lines = people.map(
    ({ person_id: person, role, owner_id: owner, name }) =>
      `${person}  ${role}  ${owner ?? "no owner"}  ${name}`,
  );
  output.show({ ...last, people }, [formatOrganization(last), ...lines]);
}

async function end({ client, output }: Session, id = ""): Promise<void> {
  const target = `/v1/organizations/${encoded(id)}/removal`;
  const answer = await client.post({ target, body: {}, schema: organizationEnded });
  output.show(answer, [`${id}  ended`]);
}

/** Each segment by itself: an id is a person's text. */
function encoded(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

function formatOrganization({ organization_id: id, name, members }: OrganizationView): string {
  return `${id}  ${name}  ${members} ${members === 1 ? "member" : "members"}`;
}
