// Which page an address shows. Behind the '#', because the paths before it are those of the API.
import { createRouter, createWebHashHistory } from "vue-router";
import { loadAgain } from "./api/upgrade";
import { plain } from "./parts/format";

declare module "vue-router" {
  interface RouteMeta {
    title: string;
  }
}

const LOADED_WITHIN_MS = 2000;

/** Where one was on a page is there again only when what it shows has been loaded. */
async function onceTall<P extends { top: number }>(place: P): Promise<P> {
  for (const start = performance.now(); performance.now() - start < LOADED_WITHIN_MS; await new Promise(requestAnimationFrame))
    if (document.documentElement.scrollHeight >= place.top + innerHeight) break;
  return place;
}

export const router = createRouter({
  history: createWebHashHistory(),
  scrollBehavior: (_to, _from, saved) => (saved ? onceTall(saved) : { top: 0 }),
  routes: [
    { path: "/", component: () => import("./pages/Overview.vue"), meta: { title: "Overview" } },
    { path: "/nodes", component: () => import("./pages/Nodes.vue"), meta: { title: "Nodes" } },
    { path: "/nodes/:name", component: () => import("./pages/NodePage.vue"), props: true, meta: { title: "Node" } },
    { path: "/tasks", component: () => import("./pages/Tasks.vue"), meta: { title: "Tasks" } },
    { path: "/tasks/new", component: () => import("./pages/NewTask.vue"), meta: { title: "New task" } },
    { path: "/tasks/:id", component: () => import("./pages/TaskPage.vue"), props: true, meta: { title: "Task" } },
    { path: "/vps", component: () => import("./pages/Vps.vue"), meta: { title: "VPS" } },
    { path: "/docker", redirect: "/docker/containers" },
    { path: "/docker/:tab(containers|tarballs)", component: () => import("./pages/Docker.vue"), props: true, meta: { title: "Docker" } },
    { path: "/settings", component: () => import("./pages/Settings.vue"), meta: { title: "Settings" } },
    { path: "/:other(.*)", component: () => import("./pages/NotFound.vue"), meta: { title: "Not found" } },
  ],
});

router.afterEach((to) => {
  document.title = `${[plain(String(to.params.name ?? to.params.id ?? "")), to.meta.title].filter(Boolean).join(" · ")} · riverbox`;
});

// All pages are fetched when they are needed first.
router.onError((error, to) => {
  if (!loadAgain(to.fullPath)) throw error;
});
