// Builds the dashboard and writes it, compressed, as a C++ source: node embed.mjs OUT.cpp DEPFILE FOLDER
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const [out, depfile, folder] = process.argv.slice(2);
const root = dirname(fileURLToPath(import.meta.url));
const MOST_BYTES = 500_000; // of all files, compressed

const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };

function filesIn(place) {
  return readdirSync(place, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? filesIn(join(place, entry.name)) : [join(place, entry.name)]))
    .sort();
}

await build({ root, logLevel: "warn", build: { outDir: folder, emptyOutDir: true } });

let total = 0;
const arrays = [];
const rows = filesIn(folder).map((file, index) => {
  const type = TYPES[file.split(".").pop()];
  if (!type) throw new Error(`${file}: which Content-Type?`);
  const plain = readFileSync(file);
  // The page itself goes out as it is: it is small, and what is no browser may ask for it, too.
  const compressed = !file.endsWith(".html");
  const bytes = compressed ? gzipSync(plain, { level: 9 }) : plain;
  total += bytes.length;
  arrays.push(`const unsigned char kBytes${index}[] = {${[...bytes].join(",")}};`);
  const etag = createHash("sha256").update(plain).digest("hex").slice(0, 16);
  return `    {"/${relative(folder, file)}", "${type}", "\\"${etag}\\"", {reinterpret_cast<const char*>(kBytes${index}), sizeof kBytes${index}}, ${compressed}},`;
});
if (total > MOST_BYTES) throw new Error(`the dashboard has ${total} bytes, compressed; ${MOST_BYTES} are allowed`);

writeFileSync(
  out,
  `// Made by src/web/embed.mjs.
#include "web/dashboard.hpp"

namespace riverbox::web {
namespace {
${arrays.join("\n")}
const File kFiles[] = {
${rows.join("\n")}
};
}  // namespace

std::span<const File> files() { return kFiles; }

}  // namespace riverbox::web
`,
);
const sources = ["package-lock.json", "vite.config.ts", "tsconfig.json", "index.html", "embed.mjs"].map((file) => join(root, file));
const used = [...sources, ...filesIn(join(root, "src")), ...filesIn(join(root, "public"))].filter((file) => statSync(file).isFile());
writeFileSync(depfile, `${out}: ${used.map((file) => file.replaceAll(" ", "\\ ")).join(" ")}\n`);
