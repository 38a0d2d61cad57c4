/** SPIFFE IDs: one spelling, no normalisation (standards rows ID-1 to ID-15). */
import { casesOf, type VectorCase } from "../vector-case.ts";

const { good, bad } = casesOf("spiffe_id");

const REFUSED: readonly string[] = [
  "",
  "spiffe://",
  "spiffe:///a",
  "http://td/a",
  "spiffe:/td/a",
  "SPIFFE://td/a",
  "spiffe://td/",
  "spiffe://td/a/",
  "spiffe://td//a",
  "spiffe://td/a//b",
  "spiffe://td/.",
  "spiffe://td/a/..",
  "spiffe://td/./a",
  "spiffe://td/a?x",
  "spiffe://td/a#f",
  "spiffe://td?",
  "spiffe://u@td/a",
  "spiffe://@td/a",
  "spiffe://td:80/a",
  "spiffe://td:/a",
  "spiffe://TD/a",
  "spiffe://t$d/a",
  "spiffe://td\u00e9/a",
  "spiffe://td~/a",
  "spiffe://td%41/a",
  "spiffe://[::1]/a",
  "spiffe://td/a%2fb",
  "spiffe://td/%41",
  "spiffe://td/a!b",
  "spiffe://td/a b",
  "spiffe://td/a:b",
  "spiffe://td/\u00e4",
  "spiffe://td/a\n",
  " spiffe://td/a",
  "spiffe://td/a\u0000",
  `spiffe://${"t".repeat(256)}/a`,
  `spiffe://td/${"a".repeat(2037)}`,
];

/** Id, trust domain, path, `inst-` segment. */
const TAKEN: readonly (readonly [string, string, string, string | null])[] = [
  ["spiffe://td", "td", "", null],
  ["spiffe://td/a", "td", "/a", null],
  ["spiffe://10.0.0.1/a", "10.0.0.1", "/a", null],
  ["spiffe://a..b/x", "a..b", "/x", null],
  ["spiffe://-a_/x", "-a_", "/x", null],
  ["spiffe://td/...", "td", "/...", null],
  ["spiffe://td/A.b-c_1", "td", "/A.b-c_1", null],
  ["spiffe://acme.test/team/pay/inst-01J", "acme.test", "/team/pay/inst-01J", "inst-01J"],
  ["spiffe://acme.test/inst-01J", "acme.test", "/inst-01J", null],
  ["spiffe://acme.test/pay/inst-", "acme.test", "/pay/inst-", null],
  [`spiffe://${"t".repeat(255)}/a`, "t".repeat(255), "/a", null],
  [`spiffe://td/${"a".repeat(2036)}`, "td", `/${"a".repeat(2036)}`, null],
];

/** @returns the cases. */
export function makeSpiffeId(): readonly VectorCase[] {
  return [
    ...TAKEN.map(([text, trustDomain, path, instance]) =>
      good(`${text.slice(0, 40)} is taken`, { text }, { trust_domain: trustDomain, path, instance }),
    ),
    ...REFUSED.map((text) =>
      bad(`${JSON.stringify(text.slice(0, 40))} is refused`, { text }, "spiffe_id_malformed"),
    ),
  ];
}
