// The address by which other machines reach the host.

/** "http://node0:8000" out of what may have a fingerprint behind '#'. */
const hostOf = (url: string) => url.replace(/^\w+:\/\//, "").replace(/[/#].*$/, "").replace(/:\d+$/, "");

export function isOfThisMachine(url: string): boolean {
  return url.startsWith("unix:") || /^(127\.|localhost$|\[::1\]$)/.test(hostOf(url));
}

/** What the host says, unless that means itself: then the one that works for this page. The fingerprint of its certificate goes along. */
export function joinAddress(hostUrl: string, origin: string): string {
  if (!isOfThisMachine(hostUrl) || isOfThisMachine(origin)) return hostUrl;
  return origin + (/#.*$/.exec(hostUrl)?.[0] ?? "");
}
