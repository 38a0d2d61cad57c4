/**
 * A host that tries one join token many times at once; a program, so that several run as processes of their own.
 *
 * Arguments: the server's URL, the token, how many tries, an address to come from. Prints the statuses.
 */
import { digestOfEvidence } from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { nonceAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { jsonOf } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { call } from "./client.ts";

const [url = "", token = "", tries = "0", from] = process.argv.slice(2);
const origin = { from };
const evidence = { type: "join_token", token };

/** Everything but the request itself, so that the requests of all processes meet. */
async function prepare(): Promise<string> {
  const signer = createTestSigner();
  const { nonce } = nonceAnswer.parse(jsonOf(await call(url, { target: "/v1/nonce" }, origin)));
  const possession = issuePossession({ nonce, enrolmentSha256: digestOfEvidence(evidence) }, signer);
  return JSON.stringify({ evidence, possession, spki: encodeBase64url(encodeSpki(signer.publicKey)) });
}

const bodies = await Promise.all(Array.from({ length: Number(tries) }, prepare));
const answers = await Promise.all(
  bodies.map((body) => call(url, { method: "POST", target: "/v1/nodes", body }, origin)),
);
process.stdout.write(`${JSON.stringify(answers.map(({ status }) => status))}\n`);
