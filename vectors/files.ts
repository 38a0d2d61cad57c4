/** Which vector files there are, and how each is made. */
import { makeAgentCard } from "./make/agent-card.ts";
import { makeCanonicalJson } from "./make/canonical-json.ts";
import { makeClaims } from "./make/claims.ts";
import { makeEnrolment } from "./make/enrolment.ts";
import { makeEvidence } from "./make/evidence.ts";
import { makeIntent } from "./make/intent.ts";
import { makeLogProof } from "./make/log-proof.ts";
import { makePins } from "./make/pins.ts";
import { makeReceipt } from "./make/receipt.ts";
import { makeRecords } from "./make/records.ts";
import { makeScope } from "./make/scope.ts";
import { makeSpiffeId } from "./make/spiffe-id.ts";
import { makeTokens } from "./make/tokens.ts";
import { makeX509Svid } from "./make/x509-svid.ts";
import type { VectorCase } from "./vector-case.ts";

/** Text of each file, by its name. */
export const VECTOR_FILES: Readonly<Record<string, () => string>> = {
  "agent-card.json": () => textOf(makeAgentCard()),
  "canonical-json.json": () => textOf(makeCanonicalJson()),
  "claims.json": () => textOf(makeClaims()),
  "enrolment.json": () => textOf(makeEnrolment()),
  "evidence.json": () => textOf(makeEvidence()),
  "intent.json": () => textOf(makeIntent()),
  "log-proof.json": () => textOf(makeLogProof()),
  "pins.json": () => textOf(makePins()),
  "receipt.json": () => textOf(makeReceipt()),
  "records.json": () => textOf(makeRecords()),
  "scope.json": () => textOf(makeScope()),
  "spiffe-id.json": () => textOf(makeSpiffeId()),
  "tokens.json": () => textOf(makeTokens()),
  "x509-svid.json": () => textOf(makeX509Svid()),
};

/** ASCII only, a case a line: a difference shows the case. */
function textOf(cases: readonly VectorCase[]): string {
  const lines = cases.map((one) => toAscii(JSON.stringify(one)));
  return `{"cases":[\n${lines.join(",\n")}\n]}\n`;
}

function toAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
