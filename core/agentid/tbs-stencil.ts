/**
 * TBSCertificates of leaves by stencil: all leaves of one issuer whose names are equally long are the same bytes but for a
 * few places, so they are written into a copy of one that the encoder made.
 *
 * A stencil is cut from a specimen that has no value in common with what is issued, and is kept when it gives, for the first
 * certificate that is asked for, what the encoder gives for it, byte for byte. Whatever goes into a place is as long as
 * the place: other lengths are another stencil.
 *
 * @see docs/decisions/0092-leaves-by-stencil.md
 */
import { concatBytes, isEqualBytes } from "../bytes.ts";
import { isEmptyName } from "./certificate.ts";
import { encodeTime } from "./der-writer.ts";
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";
import { encodeTbs, keyIdentifierOf, type Template } from "./svid-profile-template.ts";

/** Lengths that one issuer keeps stencils for; half a kilobyte each, and what an id has above the usual. */
const MAX_STENCILS = 256;
const SHORTEST_ID = "spiffe://a/b";

/** Where the values lie. */
interface Places {
  readonly serial: number;
  readonly validity: number;
  /** Undefined where the subject is empty, which is the same in all. */
  readonly subject: number | undefined;
  readonly spki: number;
  readonly uri: number;
  readonly keyIdentifier: number;
}

interface Stencil {
  readonly bytes: Uint8Array;
  readonly places: Places;
}

const textEncoder = new TextEncoder();

/** Owns the stencils of one issuer's leaves, whose name, key identifier and usage are in the bytes that stay. */
export class TbsStencils {
  /** By the lengths of what differs, oldest first. */
  readonly #stencils = new Map<string, Stencil>();

  /** DER of the TBSCertificate of a template, the same bytes as `encodeTbs` gives. */
  encode(template: Template): Uint8Array {
    const validity = encodeValidity(template);
    const { serial, subject, spki, uri } = template;
    const lengths = [serial, subject, spki, uri, validity].map(({ length }) => length).join();
    const known = this.#stencils.get(lengths);
    if (known !== undefined) return fill(known, template, validity);
    const tbs = encodeTbs(template);
    const stencil = cutStencil(template, validity);
    if (stencil === undefined) return tbs;
    if (!isEqualBytes(fill(stencil, template, validity), tbs))
      throw new Error("a stencil gives other bytes than the encoder");
    this.#keep(lengths, stencil);
    return tbs;
  }

  #keep(lengths: string, stencil: Stencil): void {
    const [oldest] = this.#stencils.keys();
    if (this.#stencils.size >= MAX_STENCILS && oldest !== undefined) this.#stencils.delete(oldest);
    this.#stencils.set(lengths, stencil);
  }
}

/** Undefined where there can be no specimen: for times from 2050 on, which have another type, and for ids shorter than any of ours. */
function cutStencil(template: Template, validity: Uint8Array): Stencil | undefined {
  const specimen = specimenOf(template);
  const period = encodeValidity(specimen);
  if (period.length !== validity.length || specimen.uri.length !== template.uri.length) return undefined;
  const bytes = encodeTbs(specimen);
  return {
    bytes,
    places: {
      serial: placeOf(bytes, specimen.serial),
      validity: placeOf(bytes, period),
      subject: isEmptyName(specimen.subject) ? undefined : placeOf(bytes, specimen.subject),
      spki: placeOf(bytes, specimen.spki),
      uri: placeOf(bytes, textEncoder.encode(specimen.uri)),
      keyIdentifier: placeOf(bytes, keyIdentifierOf(specimen.spki)),
    },
  };
}

/** The template with other values of the same lengths. */
function specimenOf(template: Template): Template {
  const { serial, subject, spki, uri } = template;
  return {
    ...template,
    serial: new Uint8Array(serial.length).fill(0x41),
    notBefore: 1_000_000_000,
    notAfter: 1_111_111_111,
    subject: isEmptyName(subject) ? subject : new Uint8Array(subject.length).fill(0x55),
    spki: new Uint8Array(spki.length).fill(0x33),
    uri: specimenId(uri.length),
  };
}

function specimenId(length: number): SpiffeId {
  return parseSpiffeId(SHORTEST_ID + "b".repeat(Math.max(0, length - SHORTEST_ID.length)));
}

function encodeValidity({ notBefore, notAfter }: Pick<Template, "notBefore" | "notAfter">): Uint8Array {
  return concatBytes(encodeTime(notBefore), encodeTime(notAfter));
}

/** The one place of a value. @throws Error when it is not there, or twice. */
function placeOf(bytes: Uint8Array, value: Uint8Array): number {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const place = all.indexOf(value);
  if (place === -1 || all.lastIndexOf(value) !== place) throw new Error("a specimen's value has one place");
  return place;
}

function fill({ bytes, places }: Stencil, template: Template, validity: Uint8Array): Uint8Array {
  const { serial, subject, spki, uri } = template;
  const tbs = bytes.slice();
  tbs.set(serial, places.serial);
  tbs.set(validity, places.validity);
  if (places.subject !== undefined) tbs.set(subject, places.subject);
  tbs.set(spki, places.spki);
  textEncoder.encodeInto(uri, tbs.subarray(places.uri, places.uri + uri.length));
  tbs.set(keyIdentifierOf(spki), places.keyIdentifier);
  return tbs;
}
