/** Weakenings of OAuth: tokens, proofs and exchanges. */
import type { SourceEdit } from "../source-edit.ts";

const DPOP = "core/dpop.ts";
const TOKEN = "core/access-token.ts";
const WPT = "core/workload-proof.ts";
const PRESENTED = "server/gateway/presented-credentials.ts";
const SUBJECT = "server/oauth/subject-token.ts";

/** Edits by name. */
export const OAUTH_WEAKENINGS = {
  "proofs-for-anything": [
    { file: DPOP, find: '  if (proof.method !== request.method) refuse("htm");\n', replace: "" },
    { file: DPOP, find: '  if (!request.urls.includes(proof.url)) refuse("htu");\n', replace: "" },
    {
      file: DPOP,
      find: '  if (proof.accessTokenSha256 !== expected) refuse("ath");\n',
      replace: "  void expected;\n",
    },
    {
      file: "server/oauth/seen-proofs.ts",
      find: "    if (this.#seen.has(key)) throw new TrustWardenError(REFUSALS[this.#kind]);\n",
      replace: "",
    },
  ],
  "workload-proofs-for-anything": [
    { file: WPT, find: '  if (!request.urls.includes(proof.audience)) refuse("aud");\n', replace: "" },
    {
      file: WPT,
      find: '  if (proof.witSha256 !== formatTokenDigest(request.wit)) refuse("wth");\n',
      replace: "",
    },
    {
      file: "server/gateway/presented-wit.ts",
      find: "  await services.oauth.claimWorkloadProof({ thumbprint, jti: proof.jti }, now);\n",
      replace: "",
    },
  ],
  "grants-of-anybody": [
    {
      file: "server/oauth/accepted-grants.ts",
      find: '    if (!isOnly(resource, request.resource)) refuse("resource");\n',
      replace: "",
    },
    {
      file: "server/store/commands/access-tokens.ts",
      find: '  if (changes === 0) throw new TrustWardenError("assertion_replayed");\n',
      replace: "  void changes;\n",
    },
  ],
  "client-documents-of-anybody": [
    {
      file: "core/client-document.ts",
      find: '  if (!isIts) refuse("spiffe_id");\n',
      replace: "  void isIts;\n",
    },
    {
      file: "core/client-document.ts",
      find: '  if (json.client_id !== url) refuse("client_id");\n',
      replace: "",
    },
  ],
  "any-token-audience": [
    {
      file: PRESENTED,
      find: '    throw new TrustWardenError("access_token_audience", { audience: token.audience });\n',
      replace: "",
    },
    { file: SUBJECT, find: '  if (token.audience !== client) refuse("meant for another");\n', replace: "" },
  ],
  "access-token-signature-unchecked": [
    {
      file: TOKEN,
      find: '  if (key === undefined || !isJwsOf(key, jws)) return refuse("signature");\n',
      replace: '  if (key === undefined || jws.signature.length === 0) return refuse("signature");\n',
    },
  ],
  "exchange-widens": [
    {
      file: "server/store/commands/access-tokens.ts",
      find: "    if (isSubset({ parent, child })) continue;\n",
      replace: "    if (parent.length > 0) continue;\n",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
