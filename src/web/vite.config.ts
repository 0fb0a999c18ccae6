import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vitest/config";

// `npm run dev` serves the sources and asks a host for the rest, which takes its requests for those of its own pages.
const host = process.env.RIVERBOX_URL ?? "http://127.0.0.1:8000";
const proxy = { target: host, ws: true, changeOrigin: true, headers: { origin: host } };

export default defineConfig({
  plugins: [vue()],
  base: "/",
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // a data: address is none of our own, and the Content-Security-Policy refuses it
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      "/api": proxy,
      "/login": proxy,
    },
  },
  test: { include: ["tests/**/*.test.ts"] },
});
