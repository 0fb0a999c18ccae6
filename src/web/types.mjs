// The types of the API, from a host's own description of it:
//   curl -s http://127.0.0.1:8000/openapi.json | node types.mjs > src/api/types.ts
// A test of the project makes them anew and compares.
import { readFileSync } from "node:fs";

const description = JSON.parse(readFileSync(0, "utf8"));

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.allOf) return schema.allOf.map(typeOf).join(" & ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  switch (schema.type) {
    case "integer":
    case "number":
      return "number";
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "array": {
      const item = typeOf(schema.items ?? {});
      return /[|&]/.test(item) ? `(${item})[]` : `${item}[]`;
    }
    case "object":
      if (schema.properties) return `{ ${members(schema).join(" ")} }`;
      return `Record<string, ${typeOf(schema.additionalProperties ?? {})}>`;
    default:
      return "unknown";
  }
}

function members(schema) {
  const required = new Set(schema.required);
  return Object.entries(schema.properties).map(([name, value]) => `${name}${required.has(name) ? "" : "?"}: ${typeOf(value)};`);
}

const lines = ["// Made from /openapi.json by types.mjs: do not edit."];
for (const [name, schema] of Object.entries(description.components.schemas)) {
  if (schema.type === "object" && schema.properties) lines.push("", `export interface ${name} {`, ...members(schema).map((member) => "  " + member), "}");
  else lines.push("", `export type ${name} = ${typeOf(schema)};`);
}
process.stdout.write(lines.join("\n") + "\n");
