import { expect, it } from "vitest";
import { imageProblem, nameProblem, proposedName } from "../src/docker/names";

it("takes the names that the host takes", () => {
  for (const name of ["a", "py311-cuda", "a.b", "a_b", "a__b", "a---b"]) expect(nameProblem(name, [])).toBe("");
  for (const name of ["-a", "a-", "a..b", "a___b", "a/b", "a b", "ä", "a".repeat(129), "<b>"]) expect(nameProblem(name, [])).not.toBe("");
  expect(nameProblem("Walk", [])).toBe("Names are lower case: walk");
  expect(nameProblem("mine", ["mine"])).toContain("There is");
});

it("sees what can be no image", () => {
  for (const image of ["", "busybox", "python:3.11-Slim", "ghcr.io/lab/base:2", "localhost:5000/a@sha256:" + "0".repeat(64)]) expect(imageProblem(image)).toBe("");
  for (const image of ["a b", "-x", "Python:3"]) expect(imageProblem(image)).not.toBe("");
});

it("proposes a name", () => {
  expect(proposedName("python:3.11-slim")).toBe("python-env");
  expect(proposedName("reg.example:5000/lab/my_env@sha256:00")).toBe("my_env-env");
});
