/** SPIFFE's own Go library, on identities, SVIDs, tokens, bundles and handshakes. */
import { z } from "zod";
import { createBundleCases, summarize } from "./bundle-cases.ts";
import { requireOutput } from "./command.ts";
import { createDomain, type Domain } from "./domain.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "./judge.ts";
import { createJwtCases } from "./jwt-cases.ts";
import { askOurs, type SpiffeCase } from "./spiffe-case.ts";
import { createIdCases } from "./spiffe-id-cases.ts";
import { requireGoTools } from "./tools.ts";
import { createX509Cases } from "./x509-cases.ts";

const TIMEOUT_MS = 60_000;

const theirVerdicts = z.array(
  z.object({
    name: z.string(),
    accepted: z.boolean(),
    error: z.string().optional(),
    id: z.string().optional(),
    bundle: z
      .object({ x509Authorities: z.number(), jwtAuthorities: z.number(), document: z.string() })
      .optional(),
  }),
);
type TheirVerdict = z.infer<typeof theirVerdicts>[number];

export const spiffeJudge: Judge = { name: "go-spiffe 2.8.1", run: judgeSpiffe };

async function judgeSpiffe(lab: Lab): Promise<Findings> {
  const { spiffejudge } = await requireGoTools(lab);
  const now = Math.floor(Date.now() / 1000);
  const domain = createDomain("acme.test", now);
  const other = createDomain("other.test", now);
  const cases = [
    ...createIdCases(lab.random),
    ...createX509Cases(domain, other, now),
    ...createJwtCases(domain, other, now),
    ...createBundleCases(domain),
  ];
  const input = JSON.stringify(cases.map(({ name, input: artifact }) => ({ name, ...artifact })));
  const output = await requireOutput(spiffejudge, [], { input, timeoutMs: TIMEOUT_MS });
  const theirs = theirVerdicts.parse(JSON.parse(output));
  if (theirs.length !== cases.length) throw new Error("spiffejudge did not answer every case");
  const differing = cases.filter(({ why }) => why !== undefined).length;
  const verdicts = cases.flatMap((one, index) => judgeOne(domain, one, theirs[index]));
  return countVerdicts(verdicts, `${differing} known differences`);
}

/** Their verdict is expected, ours is expected, and where both accept they name the same identity. */
function judgeOne(domain: Domain, one: SpiffeCase, their: TheirVerdict | undefined): readonly Verdict[] {
  const { name, ours, theirs, why } = one;
  if (their?.name !== name) throw new Error(`spiffejudge did not answer ${name}`);
  if (ours !== theirs && why === undefined) throw new Error(`${name}: a difference without a reason`);
  const said = their.error ?? `accepted as ${their.id ?? "a bundle"}`;
  const verdicts: Verdict[] = [
    { name: `go-spiffe about ${name}`, expected: theirs, isAccepted: their.accepted, said },
  ];
  if (one.verify === undefined) return verdicts;
  const own = askOurs(one.verify);
  verdicts.push({
    name: `ours about ${name}`,
    expected: ours,
    isAccepted: own !== null,
    said: own ?? "refused",
  });
  if (their.accepted && own !== null) {
    const same = their.bundle === undefined ? their.id === own : isSameBundle(domain, own, their.bundle);
    verdicts.push({
      name: `both about ${name}`,
      expected: "accept",
      isAccepted: same,
      said: `${own} and ${said}`,
    });
  }
  return verdicts;
}

/** Their own writing of what they read is read by us as the same bundle. */
function isSameBundle(domain: Domain, own: string, their: NonNullable<TheirVerdict["bundle"]>): boolean {
  // go-spiffe 2.8.1 writes no keys as null where RFC 7517 §5 has an empty array; it reads both.
  return summarize(domain, their.document.replace('"keys":null', '"keys":[]')) === own;
}
