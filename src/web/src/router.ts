// Which page an address shows. Behind the '#', because the paths before it are those of the API.
import { createRouter, createWebHashHistory } from "vue-router";

declare module "vue-router" {
  interface RouteMeta {
    title: string;
  }
}

export const router = createRouter({
  history: createWebHashHistory(),
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
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
  document.title = `${[to.params.name ?? to.params.id, to.meta.title].filter(Boolean).join(" · ")} · riverbox`;
});
