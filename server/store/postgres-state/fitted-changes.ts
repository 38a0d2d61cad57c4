/**
 * Changes that a server of the next version recorded, as this one's tables take them: without the columns that it does not
 * know. Columns are only added, behind those that are there, so that these are the first ones.
 *
 * SQLite leaves changes of a table that is not here out, but also those of one that has fewer columns than the changes: left as
 * they are, a stop would be read and not seen.
 *
 * @see sqlite.org, "Changesets and Patchsets", the file format; docs/decisions/0101
 */
import { concatBytes, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { Reader, TABLE_MARK } from "./changes.ts";

const UPDATE = 23;
/** Of a value that an update leaves as it is. */
const UNDEFINED = 0;
/** SQLite has no table of more columns than a varint of two bytes tells. */
const VARINT_STEP = 128;

/** @param countColumns - of a table here; 0 for one that is not here. */
export function fitChanges(recorded: Uint8Array, countColumns: (table: string) => number): Uint8Array {
  const reader = new Reader(recorded);
  const parts: Uint8Array[] = [];
  let [columns, kept] = [0, 0];
  while (!reader.isAtEnd) {
    const mark = reader.byte();
    if (mark === TABLE_MARK) {
      columns = reader.varint();
      const keys = Array.from({ length: columns }, () => reader.byte());
      const table = reader.name();
      const known = countColumns(table);
      kept = known === 0 ? columns : Math.min(known, columns);
      parts.push(headOf(table, keys.slice(0, kept)));
      continue;
    }
    const isIndirect = reader.byte();
    const change = [Uint8Array.of(mark, isIndirect), readValues(recorded, reader, { columns, kept })];
    if (mark === UPDATE) {
      const values = readValues(recorded, reader, { columns, kept });
      // What it changed is nothing that is here.
      if (values.every((byte) => byte === UNDEFINED)) continue;
      change.push(values);
    }
    parts.push(...change);
  }
  return Buffer.concat(parts);
}

function headOf(table: string, keys: readonly number[]): Uint8Array {
  const { length } = keys;
  const count = length < VARINT_STEP ? [length] : [VARINT_STEP | (length >> 7), length % VARINT_STEP];
  return concatBytes(Uint8Array.of(TABLE_MARK, ...count, ...keys), encodeUtf8(table), Uint8Array.of(0));
}

/** The first of a row's values, as they are recorded. */
function readValues(
  recorded: Uint8Array,
  reader: Reader,
  { columns, kept }: { readonly columns: number; readonly kept: number },
): Uint8Array {
  const from = reader.at;
  for (let column = 0; column < kept; column += 1) reader.value();
  const values = recorded.subarray(from, reader.at);
  for (let column = kept; column < columns; column += 1) reader.value();
  return values;
}
