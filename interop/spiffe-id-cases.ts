/** SPIFFE IDs for the judges: rows ID-1 to ID-15 of the requirements, and as many random ones as it takes. */
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { Random } from "./random.ts";
import { agreed, askOurs, type SpiffeCase } from "./spiffe-case.ts";

const RANDOM_IDS = 20_000;
const LONG_PATH = `spiffe://td/${"a".repeat(2048 - "spiffe://td/".length)}`;

/** Ids that everyone must take. */
export const GOOD_IDS: readonly string[] = [
  "spiffe://acme.test",
  "spiffe://acme.test/team/finance/payment-agent/inst-01J0000000000000000000000A",
  "spiffe://10.0.0.1/a",
  "spiffe://a..b/x",
  "spiffe://-a/x",
  "spiffe://td_1/a",
  "spiffe://td/...",
  "spiffe://td/a.b",
  "spiffe://td/A/a",
  LONG_PATH,
  `spiffe://${"t".repeat(255)}/a`,
];

/** Ids that nobody may take. */
export const BAD_IDS: readonly string[] = [
  "",
  "http://td/a",
  "spiffe:/td/a",
  "spiffe:///a",
  "spiffe://td/a?x",
  "spiffe://td/a#f",
  "spiffe://td?",
  "spiffe://u@td/a",
  "spiffe://@td/a",
  "spiffe://td:80/a",
  "spiffe://td:/a",
  "spiffe://TD/a",
  "SPIFFE://td/a",
  "spiffe://t$d/a",
  "spiffe://tdé/a",
  "spiffe://td~/a",
  "spiffe://td%41/a",
  "spiffe://[::1]/a",
  "spiffe://td/a%2fb",
  "spiffe://td/%41",
  "spiffe://td//",
  "spiffe://td/a//b",
  "spiffe://td/./a",
  "spiffe://td/a/..",
  "spiffe://td/",
  "spiffe://td/a/",
  "spiffe://td/a!b",
  "spiffe://td/a b",
  "spiffe://td/a:b",
  "spiffe://td/a@b",
  "spiffe://td/ä",
  "spiffe://td/a\u0000b",
];

/** Every id, and random ones on which the two parsers have to agree. */
export function createIdCases(random: Random): readonly SpiffeCase[] {
  return [
    ...GOOD_IDS.map((id) =>
      agreed("accept", `id ${id.slice(0, 60)}`, {
        input: { kind: "id", id },
        verify: () => parseSpiffeId(id),
      }),
    ),
    ...BAD_IDS.map((id) =>
      agreed("refuse", `id ${id}`, { input: { kind: "id", id }, verify: () => parseSpiffeId(id) }),
    ),
    ...TOO_LONG.map(
      (id): SpiffeCase => ({
        name: `id of ${id.length} bytes`,
        input: { kind: "id", id },
        verify: () => parseSpiffeId(id),
        ours: "refuse",
        theirs: "accept",
        why: "SPIFFE-ID §2.3 sets the limits; go-spiffe does not enforce them",
      }),
    ),
    ...Array.from({ length: RANDOM_IDS }, () => randomCase(randomId(random))),
  ];
}

const TOO_LONG: readonly string[] = [`${LONG_PATH}a`, `spiffe://${"t".repeat(256)}/a`];
const ALPHABET = [..."aZ0._-/", "//", "..", "%2f", ":", "@", "?", "#", " ", "é", "\u0000", "spiffe", "td"];
const PREFIXES = ["spiffe://", "spiffe://td", "spiffe://td/", "spiffe://td/a/", "spiffe:/", "SPIFFE://", ""];

/** Mostly nearly right, since nonsense is refused by everybody. */
function randomId(random: Random): string {
  const length = 1 + random.below(5);
  return random.pick(PREFIXES) + Array.from({ length }, () => random.pick(ALPHABET)).join("");
}

/** Our own answer is what the other parser must give too. */
function randomCase(id: string): SpiffeCase {
  const verify = () => parseSpiffeId(id);
  const expected = askOurs(verify) === null ? "refuse" : "accept";
  return agreed(expected, `random id ${JSON.stringify(id)}`, { input: { kind: "id", id }, verify });
}
