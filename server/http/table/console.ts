/** The console's pages: what a browser loads before anybody has proven anything; they hold nothing secret. */
import { z } from "zod";
import { readConsolePage } from "../acts/console.ts";
import { definePublic, type Route } from "../route.ts";

const filePath = z.object({ "*": z.string().max(256) });
/** Addresses of screens carry what was searched for; only the page itself reads it. */
const anyQuery = z.looseObject({});

/** Put on the table by `routes.ts`. */
export const CONSOLE_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: "/",
    listeners: ["console"],
    summary: "The console",
    answer: "raw",
    act: (services) => readConsolePage(services, ""),
  }),
  definePublic({
    method: "GET",
    path: "/app",
    listeners: ["console"],
    summary: "The console's first screen",
    query: anyQuery,
    answer: "raw",
    act: (services) => readConsolePage(services, ""),
  }),
  definePublic({
    method: "GET",
    path: "/app/*",
    listeners: ["console"],
    summary: "Screens and files of the console",
    params: filePath,
    query: anyQuery,
    answer: "raw",
    act: (services, params) => readConsolePage(services, params["*"]),
  }),
];
