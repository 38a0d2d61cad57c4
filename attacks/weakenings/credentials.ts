/** Weakenings of credentials and of the door: who is believed, and what is let in. */
import type { SourceEdit } from "../source-edit.ts";

const AUTHENTICATE = "server/http/authenticate.ts";
const CONTROL_PORTS = "server/http/control-ports.ts";
const LISTENERS = "server/http/listeners.ts";
const PROFILE = "core/agentid/svid-profile-check.ts";
const JWT = "core/agentid/jwt-svid.ts";
const SEEN = "server/ledger/seen-intents.ts";

/** Edits by name. */
export const CREDENTIALS_WEAKENINGS = {
  "lenient-http": [
    { file: LISTENERS, find: "  insecureHTTPParser: false,\n", replace: "  insecureHTTPParser: true,\n" },
  ],
  "bearer-believed": [
    {
      file: AUTHENTICATE,
      find: 'if (arrival.headers.authorization !== undefined) throw new TrustWardenError("svid_bearer_refused");',
      replace: 'if (arrival.headers.authorization) return { principal: { kind: "operator" }, intent: null };',
    },
  ],
  "jwt-signature-unchecked": [
    {
      file: JWT,
      find: "if (!candidateKeys(bundle, unverifiedKid).some((key) => isP256Signature(key, signingInput, signature))) {",
      replace: "if (signature.length === 0) {",
    },
  ],
  "jwt-claims-unchecked": [
    { file: JWT, find: "  requireAudience(unverifiedClaims, options.audience);\n", replace: "" },
    { file: JWT, find: "  requireWithinLifetime(unverifiedClaims, options.now);\n", replace: "" },
  ],
  "seen-by-text": [
    { file: SEEN, find: "const key = keyOf(intent);", replace: "const key = intent.sha256;" },
    {
      file: SEEN,
      find: "    this.remember(intent);\n",
      replace: "    this.#seen.set(key, { payloadSha256: intent.payloadSha256, forgetAt: now + 300 });\n",
    },
  ],
  "proofs-count-twice": [
    {
      file: "server/oauth/seen-proofs.ts",
      find: "if (this.#seen.has(key)) throw new TrustWardenError(REFUSALS[this.#kind]);",
      replace: "",
    },
  ],
  "several-names-in-a-certificate": [
    {
      file: "server/http/peer.ts",
      find: "if (issued?.instanceId !== instanceId || instance?.spiffeId !== svid.id) {",
      replace: "if (issued === null || instance?.spiffeId !== svid.id) {",
    },
    {
      file: PROFILE,
      find: 'if (uri === undefined || others.length > 0) throw malformed("exactly one URI expected");',
      replace: 'if (uri === undefined) throw malformed("a URI expected");',
    },
  ],
  "any-issuer": [
    {
      file: "server/http/peer.ts",
      find: "if (issued?.instanceId !== instanceId || instance?.spiffeId !== svid.id) {",
      replace: "if (issued === null || instance?.spiffeId !== svid.id) {",
    },
    {
      file: PROFILE,
      find: '  if (!authority.isCa) throw untrusted("issuer is not an authority");\n',
      replace: "  if (authority !== undefined) return;\n",
    },
  ],
  "sessions-resumed": [
    { file: LISTENERS, find: "secureOptions: constants.SSL_OP_NO_TICKET", replace: "secureOptions: 0" },
    {
      file: "server/http/peer-chain.ts",
      find: 'if (socket.isSessionReused()) throw new TrustWardenError("no_svid", { reason: "resumed session" });',
      replace: "",
    },
  ],
  "open-connections-live-on": [
    {
      file: "server/store/reads.ts",
      find: "WHERE svids.svid_sha256 = ? AND instances.revoked_epoch IS NULL",
      replace: "WHERE svids.svid_sha256 = ?",
    },
    {
      file: "server/http/peer.ts",
      find: "  const chain = requireLiveChain(services.reads, instanceId, now);\n",
      replace: "  const chain = services.reads.chainOf(instanceId);\n",
    },
    {
      file: CONTROL_PORTS,
      find: "  requireLiveChain(services.reads, principal.instanceId, services.clock.trustedSeconds());\n",
      replace: "",
    },
    {
      file: "server/http/lease-upgrade.ts",
      find: "    requireLiveChain(services.reads, holderOf(caller).instanceId, now);\n",
      replace: "",
    },
    {
      file: "server/feed/feed.ts",
      find: 'return kind === "instance" && (id === instanceId || id === spiffeId);',
      replace: 'return kind === "nothing" && (id === instanceId || id === spiffeId);',
    },
  ],
  "peer-by-header": [
    {
      file: "server/http/register.ts",
      find: "peer: formatPeer(raw.socket),",
      replace: 'peer: String(raw.headers["x-forwarded-for"] ?? formatPeer(raw.socket)),',
    },
  ],
  "clock-without-floor": [
    {
      file: "server/clock.ts",
      find: "if (nowMs < this.#floorMs - MAX_STEP_BACK_MS) {",
      replace: "if (nowMs < 0) {",
    },
  ],
  "messages-in-the-log": [
    {
      file: "server/http/errors.ts",
      find: "const facts = { route, code: error.code, status: error.status };",
      replace: "const facts = { route, code: error.code, status: error.status, cause: String(error.cause) };",
    },
  ],
  "any-host": [
    {
      file: "server/http/arrival.ts",
      find: 'if (name === undefined || !hosts.has(name)) refuse("host");',
      replace: 'if (name === undefined && hosts.size === 0) refuse("host");',
    },
  ],
  "refusals-without-allowance": [
    {
      file: "server/intake/token-bucket.ts",
      find: "    if (bucket.left < 1) return false;\n",
      replace: "",
    },
  ],
  "revoked-authority-believed": [
    {
      file: "core/agentid/x509-svid.ts",
      find: "  requireUnrevoked(path, bundle);\n",
      replace: "",
    },
  ],
  "any-head-size": [
    {
      file: "server/http/arrival.ts",
      find: "export const MAX_HEADER_BYTES = 16_384;",
      replace: "export const MAX_HEADER_BYTES = 4_000_000;",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
