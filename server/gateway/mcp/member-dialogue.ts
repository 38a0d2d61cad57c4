/**
 * One client's talk with one member of an endpoint that stands for several: in the older era a session of its own, which
 * the gateway opens in the client's words when it is first needed.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { initializeParamsOf } from "@trustwarden/core/gateway/mcp/capabilities.ts";
import type { Era } from "@trustwarden/core/gateway/mcp/methods.ts";
import type { McpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import { createDialogue, type Dialogue } from "./dialogues.ts";
import type { McpLink } from "./link.ts";
import type { NextId } from "./look.ts";
import { shakeHands } from "./look-around.ts";

/** Who talks with whom. */
export interface MemberTalk {
  /** Of the client with the endpoint. */
  readonly outer: Dialogue;
  readonly member: string;
  readonly era: Era;
  readonly settings: McpSettings;
  readonly link: McpLink;
  readonly nextId: NextId;
}

/**
 * The dialogue with a member, which lives as long as the client's own.
 *
 * @throws TrustWardenError `mcp_session_unknown` for a client of the older era without a session.
 */
export async function memberDialogueOf(talk: MemberTalk): Promise<Dialogue> {
  const { outer, member } = talk;
  const known = outer.members.get(member);
  if (known !== undefined) return known;
  const opening = open(talk);
  outer.members.set(member, opening);
  // A member that could not be reached is tried again by the next call.
  opening.catch(() => forgetMember(outer, member));
  return opening;
}

/** The member does not know its session any more: the next call opens another. */
export function forgetMember(outer: Dialogue, member: string): void {
  outer.members.delete(member);
}

async function open({ outer, member, era, settings, link, nextId }: MemberTalk): Promise<Dialogue> {
  const { instanceId, sessionId, hello, listeners } = outer;
  const facts = { upstream: member, instanceId, sessionId, version: null, upstreamSessionId: null };
  if (era === "modern") return createDialogue(facts);
  if (hello === null) throw new TrustWardenError("mcp_session_unknown");
  const { manner } = await shakeHands(link, nextId, initializeParamsOf(hello, settings.clientFeatures));
  const talk = createDialogue({ ...facts, version: manner.version, upstreamSessionId: manner.sessionId });
  // Before the first call: a question that comes with its answer must find the stream.
  await Promise.all([...listeners].map((listen) => listen(member, talk)));
  return talk;
}
