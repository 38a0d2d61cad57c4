/**
 * The third door of this package: what verifies and needs nothing of Node, for browsers. A build for the web replaces
 * `bytes.ts` and `crypto.ts` of the core, and nothing else; the console does.
 *
 * @see docs/guides/console.md
 */
export { type EvidenceTrust, verifyEvidence } from "./verify-evidence.ts";
