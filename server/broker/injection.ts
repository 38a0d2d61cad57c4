/** A secret as the parts of one request. */
import type { InjectionPlan } from "./settings.ts";

/** What is set on the request. */
export interface InjectedParts {
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
}

/** The parts of a request that carry a secret. */
export function injectSecret(plan: InjectionPlan, secret: string): InjectedParts {
  switch (plan.as) {
    case "header":
      // A function: in a replacement text `$&` and its like would stand for something else.
      return { headers: { [plan.name]: plan.template.replace("{secret}", () => secret) }, query: {} };
    case "basic": {
      const credentials = Buffer.from(`${plan.user}:${secret}`, "utf8").toString("base64");
      return { headers: { authorization: `Basic ${credentials}` }, query: {} };
    }
    case "query":
      return { headers: {}, query: { [plan.name]: secret } };
  }
}
