// What an environment may be called: Docker's grammar of a repository component, as the host checks it.

const ADVICE = "Use lower-case letters and digits, with single '.', '_' or '-' between them, as in py311-cuda.";

/** What is wrong with it; "" when it is good. */
export function nameProblem(name: string, taken: string[]): string {
  if (name === "") return "";
  if (name.length > 128) return `This has ${name.length} characters: 128 are allowed.`;
  if (name !== name.toLowerCase() && !nameProblem(name.toLowerCase(), [])) return `Names are lower case: ${name.toLowerCase()}`;
  if (!/^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$/.test(name)) return ADVICE;
  if (taken.includes(name)) return "There is an environment of that name.";
  return "";
}

/** The same of an image, as far as it can be said without asking a registry. */
export function imageProblem(image: string): string {
  if (image === "") return "";
  if (/\s/.test(image)) return "An image has no blanks in its name.";
  if (!/^[a-zA-Z0-9][\w.:/@-]*$/.test(image)) return "Such as python:3.11-slim or ghcr.io/lab/base:2.";
  const repository = image.replace(/@.*$/, "").replace(/:[^/:]*$/, "");
  if (repository.replace(/^[^/]*[.:][^/]*\//, "") !== repository.replace(/^[^/]*[.:][^/]*\//, "").toLowerCase()) return "Names of images are lower case; only a tag may have capitals.";
  return "";
}

/** "my-env" out of "registry.example:5000/lab/my_env:latest": a proposal. */
export function proposedName(image: string): string {
  const last = image.replace(/@.*$/, "").replace(/:[^/:]*$/, "").split("/").pop() ?? "";
  return last && !nameProblem(last + "-env", []) ? last + "-env" : "";
}
