/** What is asked of a second admin, in words. The words help; what counts is the request itself, which is shown beside them. */

const PERSON = /prs_[0-9A-HJKMNP-TV-Z]{26}/g;
/** What would be drawn as nothing, or in another place than it stands: controls, and marks that turn the direction of a text. */
const UNSEEN = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu;
/** What a person reads; a policy is longer. */
const MAX_SHOWN_CHARS = 20_000;

const MEANINGS: readonly (readonly [request: RegExp, meaning: string])[] = [
  [/^POST \/v1\/authority\/steps$/, "A step of the authority"],
  [/^POST \/v1\/federations$/, "Believe another trust domain"],
  [/^POST \/v1\/federations\/[^/]+\/bundle$/, "Set the keys of another trust domain"],
  [/^POST \/v1\/policy$/, "Load a policy"],
  [/^POST \/v1\/ledger\/turns$/, "Turn the ledger"],
  [/^POST \/v1\/secret-keys\/rotation$/, "Rotate the key of the secrets"],
  [/^GET \/v1\/payloads\/[^/]+$/, "Read what an agent sent"],
  [/^POST \/v1\/payloads\/[^/]+\/erasure$/, "Erase what an agent sent"],
  [/^POST \/v1\/backups$/, "A backup of everything"],
  [/^POST \/v1\/restore\/release$/, "Agree to a restore"],
  [/^GET \/v1\/evidence$/, "Evidence of everybody’s actions"],
  [/^GET \/v1\/events$/, "A further page of everybody’s events"],
  [/^GET \/v1\/(?:agents|owners|tree|entries)$/, "A further page of everybody’s agents"],
  [/^POST \/v1\/policy\/replays$/, "A further replay of everybody’s decisions"],
  [/^POST \/v1\/people\/links$/, "A link that lets somebody in"],
  [/^POST \/v1\/people\/[^/]+\/roles$/, "Change what somebody may do"],
  [/^POST \/v1\/people\/[^/]+\/end$/, "End a person’s access"],
];

interface Requested {
  readonly method: string;
  readonly target: string;
}

/** A request in a few words; the request itself where there are none. */
export function describeRequest({ method, target }: Requested): string {
  const name = `${method} ${target.split("?")[0]}`;
  return MEANINGS.find(([request]) => request.test(name))?.[1] ?? name;
}

/** A principal by its name and id: names are chosen by whoever has them, and two may look alike. */
export function formatWho(principal: string, names: ReadonlyMap<string, string>): string {
  const id = principal.replace(/^person:/, "");
  const name = names.get(id);
  return name === undefined ? principal : `${name} (${id})`;
}

/** People that a request is about. */
export function peopleIn({
  target,
  body,
}: {
  readonly target: string;
  readonly body: string;
}): readonly string[] {
  return [...new Set(`${target} ${body}`.match(PERSON) ?? [])];
}

/** A text with nothing in it that is not seen. */
export function formatSeen(text: string): string {
  const shown = text.slice(0, MAX_SHOWN_CHARS).replace(UNSEEN, escapeChar);
  const rest = text.length - MAX_SHOWN_CHARS;
  return rest > 0 ? `${shown}\n… and ${rest} characters more` : shown;
}

function escapeChar(char: string): string {
  return `\\u{${char.codePointAt(0)?.toString(16)}}`;
}
