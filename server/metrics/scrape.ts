/** What Prometheus reads: the figures that were counted, the state of the deployment, and the process, as one page. */
import type { Notices } from "@trustwarden/core/notices.ts";
import type { RawAnswer } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import { readDeployment } from "./deployment-figures.ts";
import { formatFamilies } from "./exposition.ts";
import { type Figures, familiesOf } from "./figures.ts";
import { ProcessFigures } from "./process-figures.ts";

const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Owns what is read at each scrape. */
export class Scrape {
  readonly #figures: Figures;
  readonly #indexed: () => number;
  readonly #notices: Pick<Notices, "isLinked"> | undefined;
  readonly #process: ProcessFigures;

  /** @param options.startedAt - Unix seconds. */
  constructor(options: {
    readonly figures: Figures;
    readonly indexed: () => number;
    /** Where something else than the database carries them. */
    readonly notices: Pick<Notices, "isLinked"> | undefined;
    readonly version: string;
    readonly startedAt: number;
  }) {
    this.#figures = options.figures;
    this.#indexed = options.indexed;
    this.#notices = options.notices;
    this.#process = new ProcessFigures(options);
  }

  close(): void {
    this.#process.close();
  }

  /** The page, in Prometheus' text format. */
  async read(services: Services): Promise<RawAnswer> {
    const families = [
      ...familiesOf(this.#figures),
      ...readDeployment(services, { indexed: this.#indexed, notices: this.#notices }),
      ...this.#process.read(),
    ];
    return {
      isRaw: true,
      contentType: CONTENT_TYPE,
      cacheControl: "no-store",
      content: formatFamilies(families),
    };
  }
}
