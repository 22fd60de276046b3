import { expect, test } from "vitest";
import { type Acceptance, Rejections } from "../../../agent/verdict/rejections.ts";

const about = (name: string, message: string | undefined, uid = "u1"): Acceptance => ({
  object: { kind: "CloudEndpoint", namespace: "default", name },
  uid,
  accepted: message === undefined,
  reason: message === undefined ? "Accepted" : "PolicyInvalid",
  message: message ?? "guards default/web",
});
const names = (all: readonly Acceptance[]) => all.map(({ object, message }) => `${object.name}: ${message}`);

test("a policy object that is refused is told once, however often it is looked at", () => {
  const rejections = new Rejections();
  const all = [about("good", undefined), about("bad", "no such key")];
  expect(names(rejections.fresh(all))).toEqual(["bad: no such key"]);
  expect(rejections.fresh(all)).toEqual([]);
  expect(rejections.fresh(all)).toEqual([]);
});

test("it is told again when the message changes, when it was accepted meanwhile, and when it is another object", () => {
  const rejections = new Rejections();
  const tell = (...all: Acceptance[]) => names(rejections.fresh(all));
  expect(tell(about("bad", "first"))).toEqual(["bad: first"]);
  expect(tell(about("bad", "second"))).toEqual(["bad: second"]);
  expect(tell(about("bad", undefined))).toEqual([]);
  expect(tell(about("bad", "second"))).toEqual(["bad: second"]);
  expect(tell(about("bad", "second", "u2"))).toEqual(["bad: second"]);
  expect(tell()).toEqual([]);
  expect(tell(about("bad", "second", "u2"))).toEqual(["bad: second"]);
});
