// Who has logged in, and what that role may do.
import { reactive } from "vue";
import { access, get, post } from "./client";
import { setClock } from "../parts/clock";
import type { HostVersion, Role, Session, WhoAmI } from "./types";

const ROLES: Role[] = ["viewer", "user", "operator", "admin"];

export const session = reactive({
  known: false,
  user: null as string | null,
  role: "viewer" as Role,
  version: "",
  open: false, // authentication is off
  upgraded: false, // the host, while the page was open
});

export async function findOutWhoIAm(): Promise<void> {
  const asked = Date.now();
  const [who, host] = await Promise.all([get<WhoAmI>("/api/whoami"), get<HostVersion>("/api/version")]);
  session.user = who.user;
  session.role = who.role ? (who.role as Role) : "admin"; // without authentication everybody is
  session.open = host.auth === "none";
  session.upgraded ||= session.known && session.version !== host.version;
  session.version = host.version;
  setClock(host, asked);
  session.known = true;
  access.sessionOver = false;
}

export function may(least: Role): boolean {
  return ROLES.indexOf(session.role) >= ROLES.indexOf(least);
}

export async function logIn(token: string): Promise<void> {
  await post<Session>("/api/login", { token });
  await findOutWhoIAm();
}

export async function logOut(): Promise<void> {
  await post("/api/logout");
  location.assign("/login");
}
