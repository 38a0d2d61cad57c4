/** An upstream with rows to delete and mail to send, an agent that may, and an owner who is asked. */

import { formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { type ApprovalView, approvalView, questionOf } from "@trustwarden/core/api/approval.ts";
import { issueApproval } from "@trustwarden/core/approval.ts";
import { signedRequest, type TestInstance } from "../../test/support/actors.ts";
import { type EchoUpstream, openEchoUpstream } from "../../test/support/echo-upstream.ts";
import { jsonOf, type RawAnswer } from "../../test/support/http.ts";
import { expect } from "../scenario.ts";
import { operate } from "./brokered.ts";
import { call } from "./client.ts";
import { gatewayOf } from "./through-gateway.ts";
import { callAsOwner } from "./visits.ts";
import type { World } from "./world.ts";

/** How long an answer is good for. */
const ANSWER_SECONDS = 600;

const ROUTES = [
  { method: "DELETE", path: "/rows/{id}", action: "delete:rows", resource: "db://rows/{id}" },
  { method: "GET", path: "/web", action: "read:web", resource: "db://web", labels: ["untrusted"] },
  { method: "GET", path: "/mail", action: "read:mail", resource: "db://mail", labels: ["private"] },
  { method: "POST", path: "/mail", action: "send:mail", resource: "db://mail" },
  { method: "POST", path: "/notes", action: "write:notes", resource: "db://notes", outside: false },
];
export const ASKING_SCOPE = ["delete:rows", "read:web", "read:mail", "send:mail", "write:notes"];

/** The scene of attacks on what humans are asked about. */
export interface Asking {
  readonly world: World;
  readonly upstream: EchoUpstream;
  readonly name: string;
  readonly agent: TestInstance;
}

export async function openAsking(world: World): Promise<Asking> {
  const upstream = await openEchoUpstream();
  const name = world.name("rows");
  const settings = { routes: ROUTES };
  const place = { name, kind: "http", url: upstream.origin, allow_private: true, secret: null, settings };
  await operate(world, "/v1/upstreams", place);
  return { world, upstream, name, agent: await world.enrol(ASKING_SCOPE) };
}

/** One call through the gateway, by its meaning. */
export async function ask(
  { world, name, agent }: Omit<Asking, "upstream">,
  { method, path, approval }: { readonly method: string; readonly path: string; readonly approval?: string },
): Promise<RawAnswer> {
  const [action, resource] = meaningOf(method, path);
  const aud = await world.serverId();
  const request = signedRequest(agent, {
    ...{ method, target: `/${name}${path}`, aud, action, intent: { action, resource } },
    ...(method === "POST" ? { body: "{}" } : {}),
  });
  const headers = { ...request.headers, ...(approval && { "trustwarden-approval": approval }) };
  return call(gatewayOf(world), { ...request, headers }, { tls: agent.tls });
}

/** The id of the request in a refusal that asks for a human. */
export function requestOf(answer: RawAnswer): string {
  const id = answer.headers["trustwarden-approval-request"];
  expect(
    answer.status === 403 && typeof id === "string",
    `the call waits for a human, and not ${answer.text}`,
  );
  return String(id);
}

/** The owner's signed answer. */
export async function answer(world: World, id: string, said: "approve" | "deny"): Promise<ApprovalView> {
  const owner = await world.owner();
  const target = `/v1/approvals/${id}`;
  const view = approvalView.parse(jsonOf(await callAsOwner(world, { method: "GET", target })));
  const iat = Math.floor(Date.now() / 1000);
  const document = { v: 1, aud: "spiffe://acme.test", answer: said, iat, exp: iat + ANSWER_SECONDS } as const;
  const keyid = formatOwnerKeyid(owner.signer.publicKey);
  const approval = issueApproval({ ...document, ...questionOf(view) }, owner.signer, keyid);
  const body = JSON.stringify({ approval });
  return approvalView.parse(
    jsonOf(await callAsOwner(world, { method: "POST", target: `${target}/answer`, body })),
  );
}

function meaningOf(method: string, path: string): readonly [string, string] {
  const row = ROUTES.find((each) => each.method === method && path.startsWith(each.path.split("{")[0] ?? ""));
  if (row === undefined) throw new Error("a call of the scene's own");
  return [row.action, row.resource.replace("{id}", path.split("/").at(-1) ?? "")];
}
