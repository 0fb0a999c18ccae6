import { describe, expect, it } from "vitest";
import { isOfThisMachine, joinAddress } from "../src/settings/addresses";

describe("addresses that mean this machine", () => {
  it.each(["http://127.0.0.1:8000", "http://localhost:8000", "https://[::1]:8000#sha256:ab", "unix:/run/riverbox.sock"])("%s", (url) => expect(isOfThisMachine(url)).toBe(true));
  it.each(["http://node0:8000", "https://localhost.example", "http://10.127.0.1"])("not %s", (url) => expect(isOfThisMachine(url)).toBe(false));
});

describe("the address in the line for a new machine", () => {
  it("is what the host says, with its fingerprint", () => expect(joinAddress("https://node0:8000#sha256:ab", "https://gate.example")).toBe("https://node0:8000#sha256:ab"));
  it("is that of the page, when the host's means itself", () => expect(joinAddress("https://127.0.0.1:8000#sha256:ab", "https://node0:8000")).toBe("https://node0:8000#sha256:ab"));
  it("is the host's when there is no better one", () => expect(joinAddress("http://127.0.0.1:8000", "http://localhost:5175")).toBe("http://127.0.0.1:8000"));
});
