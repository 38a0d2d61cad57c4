/** Registered upstreams: what a change of one does to the calls that began before it. */

import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import { expect, test } from "vitest";
import type { UpstreamState } from "../store/gateway-ports.ts";
import { Upstreams } from "./upstreams.ts";

const upstream = (url: string): UpstreamState => ({
  name: parseUpstreamName("notes"),
  kind: "http",
  url,
  secret: null,
  settings: {},
  allowPrivate: false,
  ca: null,
  changedAt: 1,
});

test("a call begins under the registration that it was planned with, or is cut", () => {
  let stored = [upstream("https://a.test")];
  const upstreams = new Upstreams({ listUpstreams: () => stored });
  const planned = upstreams.find("notes");
  upstreams.reload();
  expect(() => upstreams.requireCurrent(planned)).not.toThrow();
  stored = [upstream("https://b.test")];
  upstreams.reload();
  expect(() => upstreams.requireCurrent(planned)).toThrow(expect.objectContaining({ code: "call_cut" }));
  stored = [];
  upstreams.reload();
  expect(() => upstreams.requireCurrent(planned)).toThrow(expect.objectContaining({ code: "call_cut" }));
});
