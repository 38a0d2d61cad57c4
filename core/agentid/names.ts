/**
 * Names and paths of agents and verifiers: the human part of a SPIFFE ID.
 *
 * Stricter than SPIFFE: lower case only, so that no two names differ only in case; no segment may look like an
 * instance (`inst-…`), which would let one agent's class id be read as another agent's instance; and nothing may
 * live under `trustwarden…`, where servers and verifiers have their identities.
 *
 * @see SPIFFE-ID §2.2
 */
import { TrustWardenError } from "../error.ts";

/** A path is a team's place in an organization; deeper or longer ones are not meant by anybody. */
const MAX_PATH_SEGMENTS = 8;
const MAX_PATH_CHARS = 255;
const SEGMENT = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const VERIFIER_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const RESERVED_PREFIX = "trustwarden";

/** Begins the last segment of an instance's id, and no other segment. */
export const INSTANCE_PREFIX = "inst-";

/** An agent's place and name; together they are the agent's class. */
export interface AgentLabel {
  /** Segments joined by `/`, empty for none. */
  readonly path: string;
  readonly name: string;
}

/**
 * The place and name of an agent from untrusted text, unchanged.
 *
 * @throws TrustWardenError `name_malformed`.
 */
export function parseAgentLabel({ path, name }: AgentLabel): AgentLabel {
  if (path.length > MAX_PATH_CHARS) throw malformed("path too long");
  const segments = segmentsOf({ path, name });
  if (segments.length > MAX_PATH_SEGMENTS + 1) throw malformed("path too deep");
  segments.forEach(requireSegment);
  if (segments[0]?.startsWith(RESERVED_PREFIX)) throw malformed("reserved");
  return { path, name };
}

/**
 * An agent's name alone, where its path is not known yet.
 *
 * @throws TrustWardenError `name_malformed`.
 */
export function parseAgentName(text: string): string {
  requireSegment(text);
  return text;
}

/**
 * A verifier's name from untrusted text, unchanged.
 *
 * @throws TrustWardenError `name_malformed`.
 */
export function parseVerifierName(text: string): string {
  if (!VERIFIER_NAME.test(text) || text.startsWith(INSTANCE_PREFIX)) throw malformed("verifier name");
  return text;
}

/**
 * A host's name from untrusted text, unchanged.
 *
 * @throws TrustWardenError `name_malformed`.
 */
export function parseNodeName(text: string): string {
  if (!VERIFIER_NAME.test(text) || text.startsWith(INSTANCE_PREFIX)) throw malformed("node name");
  return text;
}

/** The path segments of an agent's class id, in order. */
export function segmentsOf({ path, name }: AgentLabel): readonly string[] {
  return path === "" ? [name] : [...path.split("/"), name];
}

function requireSegment(segment: string): void {
  if (!SEGMENT.test(segment)) throw malformed("segment");
  if (segment.startsWith(INSTANCE_PREFIX)) throw malformed("instance prefix");
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("name_malformed", { reason });
}
