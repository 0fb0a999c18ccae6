// How our types look in JSON: the shapes of docs/api.md.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "api/route.hpp"
#include "base/config.hpp"
#include "base/json.hpp"
#include "host/environments.hpp"
#include "host/nodes.hpp"
#include "host/scheduler.hpp"
#include "host/tasks.hpp"
#include "store/host_store.hpp"

namespace riverbox::api {

using Json = nlohmann::ordered_json;

inline Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json container_shape(const host::ListedContainer& container, Dialect dialect);
std::string archives_text(const environment::Listing& listing);  // as text at once: there may be ten thousand
Json packaging_shape(const environment::Packaging& packaging);
// Only who may know them gets the values of its environment variables.
Json task_shape(const store::TaskRecord& task, const Identity& reader, const std::filesystem::path& shared_dir);
Json node_shape(const host::NodeView& node, const host::Usage& usage);
// `tasks`: of those that are to run there or do, what the reader may see.
Json node_detail_shape(const host::NodeView& node, const host::Usage& usage, const std::vector<store::TaskRecord>& tasks, const Identity& reader,
                       const std::filesystem::path& shared_dir);
std::string loads_text(const host::LoadsOfNodes& loads);  // as text at once: there may be a million numbers
Json health_sample_shape(const host::NodeView& node);
Json health_aggregate_shape(const std::vector<host::NodeView>& nodes);

// The body of POST /submit. Throws InvalidInput naming the field. `environment` is the text of container_name.
host::Submission parse_submission(const nlohmann::json& body, const Config& config);
// The body of POST /vps/create, likewise. `private_key`: of the pair that was made for it, if that was asked for.
host::Submission parse_vps(nlohmann::json body, const Config& config, std::string& private_key);
std::string parse_client_id(const nlohmann::json& body);  // empty: none
// The body of POST /submit/batch. The message names the task, counted from 0.
std::vector<host::Submission> parse_batch(const nlohmann::json& body, const Config& config);

}  // namespace riverbox::api
