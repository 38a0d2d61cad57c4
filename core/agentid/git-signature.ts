/** A detached signature as git keeps it: base64 between the lines that gpgsm writes. */
import { encodeBase64, parseBase64 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";

const BEGIN = "-----BEGIN SIGNED MESSAGE-----";
const END = "-----END SIGNED MESSAGE-----";
const LINE_CHARS = 64;
/** A chain of four certificates. */
const MAX_CHARS = 100_000;

export function formatSignedMessage(cms: Uint8Array): string {
  const lines = encodeBase64(cms).match(new RegExp(`.{1,${LINE_CHARS}}`, "g")) ?? [];
  return `${[BEGIN, ...lines, END].join("\n")}\n`;
}

/** @throws TrustWardenError `signature_invalid`. */
export function parseSignedMessage(text: string): Uint8Array {
  const lines = text.trimEnd().split("\n");
  if (text.length > MAX_CHARS || lines.at(0) !== BEGIN || lines.at(-1) !== END)
    throw new TrustWardenError("signature_invalid", { why: "this is no signature of an X.509 identity" });
  try {
    return parseBase64(lines.slice(1, -1).join(""));
  } catch (cause) {
    throw new TrustWardenError("signature_invalid", { why: "the signature is not base64" }, { cause });
  }
}

/** A commit or tag without its signature, and the signature; null where there is none. */
export function splitSigned(
  kind: "commit" | "tag",
  object: string,
): { readonly payload: string; readonly signature: string | null } {
  return kind === "commit" ? splitCommit(object) : splitTag(object);
}

/** The header `gpgsig` and its continuation lines, which start with a space, are not signed; everything else is. */
function splitCommit(object: string): { readonly payload: string; readonly signature: string | null } {
  const end = object.indexOf("\n\n");
  const head = end === -1 ? object : object.slice(0, end);
  const payload: string[] = [];
  const signature: string[] = [];
  let isSignature = false;
  for (const line of head.split("\n")) {
    if (line.startsWith("gpgsig ")) {
      isSignature = true;
      signature.push(line.slice("gpgsig ".length));
    } else if (isSignature && line.startsWith(" ")) signature.push(line.slice(1));
    else {
      isSignature = false;
      payload.push(line);
    }
  }
  const rest = end === -1 ? "" : object.slice(end);
  return {
    payload: `${payload.join("\n")}${rest}`,
    signature: signature.length === 0 ? null : signature.join("\n"),
  };
}

function splitTag(object: string): { readonly payload: string; readonly signature: string | null } {
  const at = object.indexOf(`\n${BEGIN}`);
  if (at === -1) return { payload: object, signature: null };
  return { payload: object.slice(0, at + 1), signature: object.slice(at + 1) };
}
