// One row per route. A row says where the handler runs, so that a hang of Docker or of the share stops only what needs it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/answers.hpp"
#include "base/identity.hpp"
#include "base/json.hpp"
#include "net/http.hpp"

namespace riverbox::api {

struct Services;

enum class Lane {
  state,     // SQLite, in memory: one worker, so changes are applied one after the other
  docker,    // quick calls of the Engine
  share,     // the shared folder
  slow,      // minutes: pulls, create-tar
  transfer,  // downloads: as long as the reader takes
};

enum class Answer {
  made,
  kept,    // its text is sent again to the same one, as long as nothing has changed
  shared,  // and to everybody: it does not depend on who asks
};

// Which shape an answer has: classic HakuRiver (no prefix) or KohakuRiver and ours (/api).
enum class Dialect { classic, api };

// One request on its way through its handler.
struct Call {
  Services& services;
  net::Request request;
  std::map<std::string, std::string> parameters;  // {name} parts of the pattern, percent-decoded
  Dialect dialect = Dialect::classic;
  std::shared_ptr<net::Responder> responder;
  Identity identity;  // of the one who asks
  std::optional<Answers::Draft> draft = {};  // when the answer is to be kept

  const std::string& parameter(const std::string& name) const { return parameters.at(name); }
  nlohmann::json body() const;  // Throws InvalidInput when it is not a JSON object; an empty body is {}.
  void reply(const nlohmann::ordered_json& body, int status = 200);
};

struct Route {
  const char* method;
  const char* pattern;  // "/docker/host/start/{name}", without "/api"
  Lane lane;
  Access access;
  void (*handler)(std::shared_ptr<Call>);
  const char* summary;
  Answer answer = Answer::made;
};

// All rows. The classic path and "/api" + path lead to the same handler, with the dialect set.
const std::vector<Route>& routes();

// A pattern and a path in their parts. nullopt: it does not fit; else what stands for each {name}.
std::optional<std::map<std::string, std::string>> parameters_of(const std::vector<std::string>& pattern, const std::vector<std::string>& path);

// Finds the row. Throws NotFound ("Not Found") or, for a known path with another method, answers `known_path`.
struct Match {
  const Route* route = nullptr;
  bool known_path = false;
  Dialect dialect = Dialect::classic;
  std::map<std::string, std::string> parameters;
};
Match match(std::string_view method, std::string_view path);

// The one translation of errors into HTTP.
net::Response error_response(const std::exception& error);
int status_of(const std::exception& error);
net::Response json_response(const nlohmann::ordered_json& body, int status = 200);
net::Response detail(int status, std::string_view text);

}  // namespace riverbox::api
