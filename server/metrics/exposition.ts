/**
 * Counters, gauges and histograms in Prometheus' text format 0.0.4.
 *
 * Every label has a closed list of values, and what is not on it counts as `other`: nothing that a caller writes, no id
 * and no name can make a series, so that the size of a scrape is known before anybody asks (decision 0047). A series
 * appears when it first counts.
 *
 * @see Prometheus, "Exposition formats", text-based format
 */

/** What every value counts as that is not on its label's list. */
const OTHER = "other";

/** The labels of a family, each with all values that it may have. */
export type LabelLists = Readonly<Record<string, readonly string[]>>;

/** A value for each label. */
export type LabelsOf<Lists extends LabelLists> = Readonly<Record<keyof Lists & string, string>>;

interface Head {
  /** In Prometheus' form: base units, `_total` for counters. */
  readonly name: string;
  readonly help: string;
}

/** Several series of one name. */
export interface Family {
  readonly name: string;
  /** The lines of the family, with `HELP` and `TYPE`; empty while it has no series. */
  format(): string;
}

/** Owns the series of one name: one value per combination of labels that was seen. */
class Series<Value> {
  readonly #lists: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #values = new Map<string, Value>();

  constructor(lists: LabelLists) {
    this.#lists = new Map(Object.entries(lists).map(([name, values]) => [name, new Set(values)]));
  }

  /** `name="value",…` in the order in which the labels were declared. */
  key(labels: Readonly<Record<string, string>>): string {
    let key = "";
    for (const [name, values] of this.#lists) {
      const given = labels[name] ?? OTHER;
      key += `${key === "" ? "" : ","}${name}="${values.has(given) ? escapeLabel(given) : OTHER}"`;
    }
    return key;
  }

  get(key: string): Value | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: Value): void {
    this.#values.set(key, value);
  }

  entries(): readonly (readonly [string, Value])[] {
    return [...this.#values];
  }
}

/** Only rises. */
export class Counter<Lists extends LabelLists> implements Family {
  readonly name: string;
  readonly #head: Head;
  readonly #series: Series<number>;

  constructor(head: Head, lists: Lists) {
    this.name = head.name;
    this.#head = head;
    this.#series = new Series(lists);
  }

  add(labels: LabelsOf<Lists>, by = 1): void {
    const key = this.#series.key(labels);
    this.#series.set(key, (this.#series.get(key) ?? 0) + by);
  }

  format(): string {
    return formatFamily(this.#head, "counter", formatValues(this.name, this.#series.entries()));
  }
}

/** Goes up and down; set when somebody asks. */
export class Gauge<Lists extends LabelLists> implements Family {
  readonly name: string;
  readonly #head: Head;
  readonly #series: Series<number>;

  constructor(head: Head, lists: Lists) {
    this.name = head.name;
    this.#head = head;
    this.#series = new Series(lists);
  }

  set(labels: LabelsOf<Lists>, value: number): void {
    this.#series.set(this.#series.key(labels), value);
  }

  format(): string {
    return formatFamily(this.#head, "gauge", formatValues(this.name, this.#series.entries()));
  }
}

interface Distribution {
  /** How many fell into each bucket, not added up; the last is above all bounds. */
  readonly counts: number[];
  sum: number;
}

/** How often something took how long. */
export class Histogram<Lists extends LabelLists> implements Family {
  readonly name: string;
  readonly #head: Head;
  readonly #bounds: readonly number[];
  readonly #series: Series<Distribution>;

  /** @param bounds - upper bounds of the buckets, rising, in the unit of the name. */
  constructor(head: Head & { readonly bounds: readonly number[] }, lists: Lists) {
    this.name = head.name;
    this.#head = head;
    this.#bounds = head.bounds;
    this.#series = new Series(lists);
  }

  observe(labels: LabelsOf<Lists>, value: number): void {
    const key = this.#series.key(labels);
    let distribution = this.#series.get(key);
    if (distribution === undefined) {
      distribution = { counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 };
      this.#series.set(key, distribution);
    }
    const found = this.#bounds.findIndex((bound) => value <= bound);
    const bucket = found === -1 ? this.#bounds.length : found;
    distribution.counts[bucket] = (distribution.counts[bucket] ?? 0) + 1;
    distribution.sum += value;
  }

  format(): string {
    return formatFamily(
      this.#head,
      "histogram",
      this.#series.entries().flatMap(([key, distribution]) => this.#formatSeries(key, distribution)),
    );
  }

  #formatSeries(key: string, { counts, sum }: Distribution): readonly string[] {
    const bounds = [...this.#bounds.map(String), "+Inf"];
    const prefix = key === "" ? "" : `${key},`;
    let total = 0;
    const buckets = bounds.map((bound, place) => {
      total += counts[place] ?? 0;
      return `${this.name}_bucket{${prefix}le="${bound}"} ${total}`;
    });
    return [
      ...buckets,
      ...formatValues(`${this.name}_sum`, [[key, sum]]),
      ...formatValues(`${this.name}_count`, [[key, total]]),
    ];
  }
}

/** All families as one page. */
export function formatFamilies(families: readonly Family[]): string {
  return families.map((family) => family.format()).join("");
}

function formatFamily({ name, help }: Head, type: string, lines: readonly string[]): string {
  if (lines.length === 0) return "";
  return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
}

function formatValues(name: string, entries: readonly (readonly [string, number])[]): readonly string[] {
  return entries.map(([key, value]) => `${name}${key === "" ? "" : `{${key}}`} ${value}`);
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
