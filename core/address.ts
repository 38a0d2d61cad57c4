/**
 * How an address looks, so that one person does not come twice by spelling itself differently.
 *
 * Only plain ASCII is taken: an address in another script is how one that looks the same is made. Case, dots, what
 * follows a plus, and letters that are easily taken for others make no difference. An address proves nothing: nobody is
 * let in by it, it only keeps a second person from being made of the first.
 *
 * @see RFC 5321 §4.1.2 (dot-atom only); UTS 39 §4, of which this is the part that ASCII needs
 */
import { TrustWardenError } from "./error.ts";

/** RFC 5321 §4.5.3.1. */
const MAX_CHARS = 254;
const ADDRESS =
  /^([A-Za-z0-9.!#$%&'*/=?^_`{|}~+-]{1,64})@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63})$/;
/** Longer ones first. */
const LOOK_ALIKES: readonly (readonly [RegExp, string])[] = [
  [/rn/g, "m"],
  [/vv/g, "w"],
  [/cl/g, "d"],
  [/0/g, "o"],
  [/[1i|!]/g, "l"],
  [/5/g, "s"],
];

/**
 * One text for all addresses that look alike.
 *
 * @throws TrustWardenError `address_refused` for what is no plain ASCII address, or names a domain in another script.
 */
export function formatAddressLook(address: string): string {
  const [, local, domain] = (address.length <= MAX_CHARS ? ADDRESS.exec(address) : null) ?? [];
  if (local === undefined || domain === undefined) refuse("form");
  const name = domain.toLowerCase();
  if (name.split(".").some((label) => label.startsWith("xn--"))) refuse("script");
  const [mailbox = ""] = local.toLowerCase().split("+");
  const plain = mailbox.replaceAll(".", "").replaceAll("_", "").replaceAll("-", "");
  if (plain === "") refuse("mailbox");
  return `${skeletonOf(plain)}@${skeletonOf(name)}`;
}

function skeletonOf(text: string): string {
  return LOOK_ALIKES.reduce((so, [found, look]) => so.replace(found, look), text);
}

function refuse(reason: string): never {
  throw new TrustWardenError("address_refused", { reason });
}
