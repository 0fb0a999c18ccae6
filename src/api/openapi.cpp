// GET /openapi.json: the tables of routes and what their requests and answers look like, as other programs read it. Text makes text: as objects it would all be program.
#include <fmt/format.h>

#include <set>

#include "api/contract.hpp"
#include "api/handlers.hpp"
#include "api/sockets.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "config.h"

namespace riverbox::api {
namespace {

std::string quoted_word(std::string_view text) { return fmt::format("\"{}\"", text); }

// "a", "b" of the words of a list.
std::string quoted_list(std::string_view words) {
  std::string out;
  for (const auto& word : split(words, ',')) out += (out.empty() ? "" : ",") + quoted_word(word);
  return out;
}

std::string type_schema(std::string_view type) {
  if (const size_t bar = type.find('|'); bar != std::string_view::npos) {
    std::string out;
    for (const auto& one : split(type, '|')) out += (out.empty() ? "" : ",") + type_schema(one);
    return fmt::format(R"({{"anyOf":[{}]}})", out);
  }
  const auto without = [&](size_t end) { return type_schema(type.substr(0, type.size() - end)); };
  if (type.ends_with("[]")) return fmt::format(R"({{"type":"array","items":{}}})", without(2));
  if (type.ends_with("{}")) return fmt::format(R"({{"type":"object","additionalProperties":{}}})", without(2));
  if (type.starts_with('\'')) return fmt::format(R"({{"type":"string","enum":[{}]}})", quoted_list(type.substr(1, type.size() - 2)));
  if (type == "any") return "{}";
  if (type == "time") return R"({"type":"string","format":"date-time"})";
  for (const std::string_view simple : {"string", "integer", "number", "boolean", "null"})
    if (type == simple) return fmt::format(R"({{"type":"{}"}})", type);
  return fmt::format(R"({{"$ref":"#/components/schemas/{}"}})", type);
}

// The line of a table that begins with these words; what follows them.
std::vector<std::string> words_of(std::string_view table, const std::string& name) {
  for (const auto& line : split(table, '\n'))
    if (line == name || line.starts_with(name + " ")) return line == name ? std::vector<std::string>{} : split(std::string_view(line).substr(name.size() + 1), ' ');
  throw InternalError("the contract of the API does not tell of " + name);
}

void add_fields(const std::string& shape, std::string& properties, std::string& required) {
  for (const auto& word : words_of(kShapes, shape)) {
    if (word.starts_with('+')) {
      add_fields(word.substr(1), properties, required);
      continue;
    }
    const size_t colon = word.find(':');
    const bool optional = word[colon - 1] == '?';
    const auto name = quoted_word(word.substr(0, colon - (optional ? 1 : 0)));
    properties += fmt::format("{}{}:{}", properties.empty() ? "" : ",", name, type_schema(std::string_view(word).substr(colon + 1)));
    if (!optional) required += (required.empty() ? "" : ",") + name;
  }
}

std::string shapes_schema() {
  std::string out;
  for (const auto& line : split(kShapes, '\n')) {
    const auto name = line.substr(0, line.find(' '));
    const auto words = words_of(kShapes, name);
    std::string schema, properties, required;
    if (!words.empty() && words[0].starts_with('=')) {
      schema = type_schema(std::string_view(words[0]).substr(1));
    } else {
      add_fields(name, properties, required);
      schema = fmt::format(R"({{"type":"object","properties":{{{}}}{}}})", properties, required.empty() ? "" : ",\"required\":[" + required + "]");
    }
    out += fmt::format("{}{}:{}", out.empty() ? "" : ",", quoted_word(name), schema);
  }
  return out;
}

std::string content(const std::string& type) {
  if (type.find('/') != std::string::npos) return fmt::format(R"("content":{{"{}":{{}}}})", type);
  return fmt::format(R"("content":{{"application/json":{{"schema":{}}}}})", type_schema(type));
}

std::string parameter(std::string_view name, bool in_path) {
  return fmt::format(R"({{"name":"{}","in":"{}","required":{},"schema":{{"type":"string"}}}})", name, in_path ? "path" : "query", in_path);
}

std::string operation(const char* summary, const char* pattern, Access access, const std::vector<std::string>& exchange) {
  std::string parameters, body, answers;
  const auto add = [](std::string& list, const std::string& one) { list += (list.empty() ? "" : ",") + one; };
  for (const auto& segment : split(pattern, '/'))
    if (segment.starts_with('{')) add(parameters, parameter(std::string_view(segment).substr(1, segment.size() - 2), true));
  for (const auto& word : exchange) {
    const auto rest = word.substr(1);
    const size_t colon = rest.find(':');
    if (word[0] == '?')
      for (const auto& name : split(rest, ',')) add(parameters, parameter(name, false));
    else if (word[0] == '<') body = fmt::format(R"(,"requestBody":{{{}}})", content(rest));
    else add(answers, fmt::format(R"("{}":{{"description":"done",{}}})", colon == std::string::npos ? "200" : rest.substr(0, colon), content(rest.substr(colon + 1))));
  }
  const bool open = access == Access::open;
  if (!open) add(answers, R"("401":{"$ref":"#/components/responses/NobodyKnown"},"403":{"$ref":"#/components/responses/RoleNotEnough"})");
  add(answers, R"("default":{"$ref":"#/components/responses/Refused"})");
  return fmt::format(R"({{"summary":"{}","x-role":"{}","security":{},"parameters":[{}]{},"responses":{{{}}}}})", summary, to_string(access), open ? "[]" : R"([{"token":[]}])", parameters,
                     body, answers);
}

// All methods of one path stand together.
std::string paths() {
  std::string out;
  std::set<std::string_view> told;
  for (const auto& first : routes()) {
    if (!told.insert(first.pattern).second) continue;
    std::string methods;
    for (const auto& route : routes()) {
      if (std::string_view(route.pattern) != first.pattern) continue;
      const auto exchange = words_of(kExchanges, fmt::format("{} {}", route.method, route.pattern));
      methods += fmt::format("{}\"{}\":{}", methods.empty() ? "" : ",", to_lower(route.method), operation(route.summary, route.pattern, route.access, exchange));
    }
    const bool registry = std::string_view(first.pattern).starts_with("/v2/");  // where pullers look for it
    out += fmt::format("{}\"{}{}\":{{{}}}", out.empty() ? "" : ",", registry ? "" : "/api", first.pattern, methods);
  }
  for (const auto& route : socket_routes()) {
    auto get = operation(route.summary, route.pattern, route.access, {});
    get.insert(1, "\"x-websocket\":true,");
    out += fmt::format(",\"{}\":{{\"get\":{}}}", route.pattern, get);
  }
  return out;
}

std::string document() {
  constexpr std::string_view kRefusals =
      R"("NobodyKnown":{"description":"no token, or none that is known"},"RoleNotEnough":{"description":"the role is not enough"},)"
      R"("Refused":{"description":"what, which, why, and what to do next","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Error"}}}})";
  return fmt::format(R"({{"openapi":"3.1.0","info":{{"title":"riverbox","version":"{}","description":"x-role is the least role that may call an operation."}},"paths":{{{}}},)"
                     R"("components":{{"securitySchemes":{{"token":{{"type":"http","scheme":"bearer"}}}},"responses":{{{}}},"schemas":{{{}}}}}}})",
                     RIVERBOX_VERSION, paths(), kRefusals, shapes_schema());
}

}  // namespace

void openapi(CallPtr call) {
  static const std::string text = document();
  call->responder->send({.body = text});
}

}  // namespace riverbox::api
