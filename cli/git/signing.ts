/**
 * What signing an object of git is, in the words of the path: an action with a name and a resource that says exactly what
 * is signed. Signer and hook make it of the same bytes, so that a record is about this object and no other.
 */
import { createHash } from "node:crypto";
import { type ActionName, parseActionName } from "@trustwarden/core/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** As scopes and resources name a repository: one segment. */
const REPOSITORY = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$/;

/** One signature, before it is made. */
export interface Signing {
  /** `sign:git:<repository>`. */
  readonly action: ActionName;
  /** `git://<repository>/<commit or tag>/<hexadecimal SHA-256 of what is signed>`. */
  readonly resource: string;
}

/**
 * @param payload - the object without its signature.
 * @throws TrustWardenError `usage` for a name that is no repository's.
 */
export function signingOf(repository: string, kind: "commit" | "tag", payload: Uint8Array): Signing {
  if (!REPOSITORY.test(repository))
    throw new TrustWardenError("usage", { why: `${repository.slice(0, 100)} is no name of a repository` });
  const digest = createHash("sha256").update(payload).digest("hex");
  return {
    action: parseActionName(`sign:git:${repository}`),
    resource: `git://${repository}/${kind}/${digest}`,
  };
}

/** What git asks to sign. @throws TrustWardenError `usage` for anything but a commit or a tag. */
export function kindOfPayload(payload: Uint8Array): "commit" | "tag" {
  const head = Buffer.from(payload.subarray(0, 8)).toString("latin1");
  if (head.startsWith("tree ")) return "commit";
  if (head.startsWith("object ")) return "tag";
  throw new TrustWardenError("usage", { why: "only commits and tags are signed" });
}
