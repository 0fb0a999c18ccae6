import { describe, expect, it } from "vitest";
import type { Node } from "../src/api/types";
import { emptyForm, problemsOf, missingOf, submissionOf } from "../src/tasks/submission";

const filled = () => ({ ...emptyForm("py"), command: "echo a" });

describe("submission", () => {
  it("asks for little when little is filled in", () => {
    expect(submissionOf(filled(), "x")).toEqual({ command: "/bin/sh", arguments: ["-c", "echo a"], container_name: "py", required_cores: 1, env_vars: {}, client_id: "x" });
  });

  it("asks for all that is filled in", () => {
    const form = { ...filled(), version: "12", name: " n ", memory: "4G", mounts: "/a:/b:ro\n\n", variables: "A=1=2 \nB=", folder: "/w", timeLimit: "1h", retries: "2", priority: "-5", after: "1, 2", privileged: true, exclusive: true };
    form.place = "chosen" as never;
    form.targets = [{ node: "a", numa: "1", gpus: [0, 2] }, { node: "b", numa: "", gpus: [] }] as never;
    expect(submissionOf(form, "x")).toMatchObject({
      container_name: "py@12", name: "n", required_memory_bytes: 4e9, targets: ["a:1", "b"], required_gpus: [[0, 2], []], additional_mounts: ["/a:/b:ro"], env_vars: { A: "1=2 ", B: "" },
      working_dir: "/w", time_limit_seconds: 3600, retries: 2, priority: -5, after: ["1", "2"], privileged: true, exclusive: true,
    });
  });

  it("asks for so many GPUs when none are picked", () => {
    expect(submissionOf({ ...filled(), gpuCount: "2" }, "x")).toMatchObject({ gpu_count: 2 });
  });

  it("runs in an image", () => {
    const wish = submissionOf({ ...filled(), kind: "image", image: "docker.io/library/alpine:3" }, "x");
    expect(wish.registry_image).toBe("docker.io/library/alpine:3");
    expect(wish.container_name).toBeUndefined();
  });
});

describe("problems", () => {
  it("says nothing of a form that is right", () => {
    expect(problemsOf(filled(), [])).toEqual({});
    expect(missingOf(filled())).toEqual([]);
    expect(missingOf(emptyForm("py"))).toEqual(["a command"]);
    expect(missingOf({ ...filled(), environment: "", place: "chosen" })).toEqual(["an environment", "a node"]);
  });

  it("names each field", () => {
    const wrong = { ...filled(), cores: "x", memory: "lots", gpuCount: "-1", mounts: "a:b", variables: "1A=2", folder: "w", timeLimit: "soon", retries: "1.5", priority: "2000", after: "a" };
    expect(Object.keys(problemsOf(wrong, [])).sort()).toEqual(["after", "cores", "folder", "gpuCount", "memory", "mounts", "priority", "retries", "timeLimit", "variables"]);
  });

  it("knows what the nodes have, and of those that were chosen", () => {
    const node = (hostname: string, total_cores: number, gpus: number) => ({ hostname, total_cores, memory_total_bytes: 8e9, gpu_info: Array(gpus).fill({}) }) as unknown as Node;
    const nodes = [node("a", 8, 0), node("b", 4, 1)];
    expect(problemsOf({ ...filled(), cores: "9", memory: "9G", gpuCount: "2" }, nodes)).toEqual({ cores: "No node there has more than 8.", memory: "No node there has more than 8.0 GB.", gpuCount: "No node there has more than 1." });
    expect(problemsOf({ ...filled(), cores: "5", place: "chosen", targets: [{ node: "b", numa: "", gpus: [] }] }, nodes).cores).toContain("4");
    expect(problemsOf({ ...filled(), cores: "9" }, [])).toEqual({});
  });

});
