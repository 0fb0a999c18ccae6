#include <fmt/format.h>

#include <algorithm>

#include "api/fields.hpp"
#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "config.h"

namespace riverbox::api {

namespace {

constexpr std::chrono::hours kOldestTasks{2 * 366 * 24};  // of whose times a page is told the offset

Json nodes_shape(Services& services) {
  Json out = Json::array();
  for (const auto& node : services.nodes.all()) out.push_back(node_shape(node, services.tasks.usage_of(node.description.hostname)));
  return out;
}

}  // namespace

std::string nodes_text(Services& services) {
  const auto draft = services.answers.draft(kNodesQuestion);
  if (auto kept = services.answers.find(draft.question)) return std::move(*kept);
  auto text = json_response(nodes_shape(services)).body;
  services.answers.keep(draft, text);
  return text;
}

void list_nodes(CallPtr call) { call->reply(nodes_shape(call->services)); }

void show_node(CallPtr call) {
  const auto& name = call->parameter("name");
  const auto node = call->services.nodes.get(name);
  auto tasks = call->services.tasks.unfinished_on(name);
  std::erase_if(tasks, [&](const auto& task) { return !sees_task(call->services, call->identity, task); });
  call->reply(node_detail_shape(node, call->services.tasks.usage_of(name), tasks, call->identity, call->services.config->paths.shared_dir));
}

void node_history(CallPtr call) {
  constexpr std::uint64_t kMostHours = 24;
  std::uint64_t hours = 3;
  if (const auto asked = call->request.query.find("hours"); asked != call->request.query.end()) {
    hours = parse_u64(asked->second).value_or(0);
    if (hours < 1 || hours > kMostHours)
      throw InvalidInput(fmt::format("'hours' must be a number from 1 to {}, and is '{}'", kMostHours, printable(asked->second, 40)), "What was before that is not kept.");
  }
  call->responder->send({.body = loads_text(call->services.nodes.loads(std::chrono::hours(hours)))});
}

void drain_node(CallPtr call) {
  const auto& name = call->parameter("name");
  call->services.nodes.set_draining(name, true);
  const auto tasks = call->services.tasks.unfinished_on(name);
  const auto running = std::count_if(tasks.begin(), tasks.end(), [](const auto& task) { return task.state != TaskState::pending; });
  call->reply({{"message", "Node " + name + " gets no new tasks. " + (running ? std::to_string(running) + " still run there." : "Nothing runs there.")}, {"running", running}});
}

void resume_node(CallPtr call) {
  const auto& name = call->parameter("name");
  call->services.nodes.set_draining(name, false);
  call->services.tasks.schedule();
  call->reply({{"message", "Node " + name + " takes tasks again."}});
}

void remove_node(CallPtr call) {
  const auto& name = call->parameter("name");
  const bool force = flag(call->body(), "force").value_or(false);
  // One that has joined and never connected is known by its identity alone.
  const bool connected_once = call->services.nodes.find(name) || !call->services.tokens.knows_node(name);
  if (connected_once) call->services.tasks.remove_node(name, force);
  call->services.tokens.forget_node(name);
  call->reply({{"message", "Node " + name + " removed."}});
}

void health(CallPtr call) {
  if (auto wanted = call->request.query.find("hostname"); wanted != call->request.query.end())
    return call->reply(Json::array({health_sample_shape(call->services.nodes.get(wanted->second))}));
  auto nodes = call->services.nodes.all();
  Json sample = Json::array();
  for (const auto& node : nodes) sample.push_back(health_sample_shape(node));
  call->reply({{"nodes", Json::array({sample})}, {"aggregate", Json::array({health_aggregate_shape(nodes)})}});
}

void version(CallPtr call) {
  const WallTime now = wall_now();
  auto offsets = nlohmann::json::array();
  for (const UtcOffset& offset : utc_offsets(now - kOldestTasks, now + std::chrono::hours(24))) offsets.push_back({{"since", offset.since}, {"seconds", offset.seconds}});
  call->reply({{"version", RIVERBOX_VERSION}, {"api", 1}, {"auth", call->services.access.requires_token() ? "token" : "none"},
               {"time", to_rfc3339(now)}, {"utc_offsets", std::move(offsets)}});
}

void metrics(CallPtr call) {
  auto& s = call->services;
  Snapshot snapshot{.tasks = s.task_repository.count_by_state(), .nodes = {}};
  for (auto& node : s.nodes.all()) {
    const auto& usage = s.tasks.usage_of(node.description.hostname);
    snapshot.nodes.emplace_back(std::move(node), usage);
  }
  call->responder->send({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = s.metrics.text(snapshot)});
}

// Candidates for shell completion.
void complete(CallPtr call) {
  const auto& kind = call->parameter("kind");
  auto& s = call->services;
  Json out = Json::array();
  if (kind == "containers") {
    for (const auto& c : s.environments.list())
      if (c.managed) out.push_back(c.name);
  } else if (kind == "nodes") {
    for (const auto& n : s.nodes.all()) out.push_back(n.description.hostname);
  } else if (kind == "environments") {
    return on_lane(call, Lane::share, [call] {
      Json names = Json::array();
      for (const auto& [name, versions] : call->services.environments.share().list(false)) names.push_back(name.str());
      call->reply(names);
    });
  } else if (kind == "versions") {
    return on_lane(call, Lane::share, [call] {
      auto name = call->request.query.find("name");
      Json versions = Json::array();
      if (name != call->request.query.end() && environment::EnvironmentName::is_valid(name->second))
        for (const auto& v : call->services.environments.share().versions(environment::EnvironmentName::parse(name->second)))
          versions.push_back(std::to_string(v.timestamp));
      if (!versions.empty()) versions.push_back("newest");
      if (versions.size() > 2) versions.push_back("previous");
      call->reply(versions);
    });
  } else if (kind == "tasks") {
    return on_lane(call, Lane::state, [call] {
      Json ids = Json::array();
      if (call->identity.role < Role::user) return call->reply(ids);
      for (const auto& t : call->services.tasks.list({.owner = owner_filter(call->identity), .limit = 50})) ids.push_back(t.spec.id.str());
      call->reply(ids);
    });
  } else if (kind == "vps") {
    return on_lane(call, Lane::state, [call] {
      Json names = Json::array();
      if (call->identity.role < Role::user) return call->reply(names);
      for (const auto& vps : call->services.vpses.list(owner_filter(call->identity))) names.push_back(vps.spec.name.empty() ? vps.spec.id.str() : vps.spec.name);
      call->reply(names);
    });
  } else if (kind == "tokens") {
    if (call->identity.role == Role::admin)
      for (const auto& token : s.tokens.list()) out.push_back(token.id);
  } else {
    throw NotFound("Not Found");
  }
  call->reply(out);
}

}  // namespace riverbox::api
