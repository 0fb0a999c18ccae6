#include "api/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/strings.hpp"
#include "config.h"
#include "os/process.hpp"

namespace riverbox::api {
namespace {

// Of the exposition format: a backslash, a quote and a line feed are escaped.
std::string label(std::string_view value) {
  std::string out;
  for (const char c : valid_utf8(value)) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

class Page {
public:
  void family(const char* name, const char* type, const char* help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <class Value>
  void sample(Value value, const std::string& labels = {}, const char* suffix = "") {
    fmt::format_to(std::back_inserter(text_), "{}{}{} {}\n", name_, suffix, labels.empty() ? "" : "{" + labels + "}", value);
  }
  std::string take() { return std::move(text_); }

private:
  std::string text_;
  const char* name_ = "";
};

void tell_process(Page& page) {
  page.family("riverbox_build_info", "gauge", "The version that runs.");
  page.sample(1, fmt::format("version=\"{}\"", RIVERBOX_VERSION));
  const auto self = os::own_process();
  page.family("process_resident_memory_bytes", "gauge", "Resident memory.");
  page.sample(self.resident_bytes);
  page.family("process_open_fds", "gauge", "Open file descriptors.");
  page.sample(self.open_fds);
  page.family("process_start_time_seconds", "gauge", "Start, in seconds since 1970.");
  page.sample(self.started_unix_seconds);
}

void tell_tasks(Page& page, const Snapshot& snapshot) {
  page.family("riverbox_tasks", "gauge", "Tasks in the database, by state; pending is the queue.");
  for (const auto& [state, count] : snapshot.tasks) page.sample(count, fmt::format("state=\"{}\"", to_string(state)));
}

void tell_nodes(Page& page, const Snapshot& snapshot) {
  const auto online = std::count_if(snapshot.nodes.begin(), snapshot.nodes.end(), [](const auto& node) { return node.first.online; });
  page.family("riverbox_nodes", "gauge", "Nodes that are known.");
  page.sample(online, "status=\"online\"");
  page.sample(snapshot.nodes.size() - static_cast<size_t>(online), "status=\"offline\"");
  page.family("riverbox_links", "gauge", "Links to runners that are open.");
  page.sample(std::count_if(snapshot.nodes.begin(), snapshot.nodes.end(), [](const auto& node) { return node.first.link != nullptr; }));
  const auto each = [&](const char* name, const char* help, const auto& value) {
    page.family(name, "gauge", help);
    for (const auto& [node, usage] : snapshot.nodes) page.sample(value(node, usage), fmt::format("node=\"{}\"", label(node.description.hostname)));
  };
  each("riverbox_node_up", "1 while it is online.", [](const auto& node, const auto&) { return node.online ? 1 : 0; });
  each("riverbox_node_cores", "CPUs of the node.", [](const auto& node, const auto&) { return node.description.cores; });
  each("riverbox_node_cores_promised", "CPUs that tasks have been given.", [](const auto&, const auto& usage) { return usage.cores; });
  each("riverbox_node_memory_bytes", "Memory of the node.", [](const auto& node, const auto&) { return node.description.memory_bytes; });
  each("riverbox_node_memory_promised_bytes", "Memory that tasks have been given.", [](const auto&, const auto& usage) { return usage.memory_bytes; });
  each("riverbox_node_gpus", "GPUs of the node.", [](const auto& node, const auto&) { return node.description.gpus.size(); });
  each("riverbox_node_gpus_promised", "GPUs that tasks have been given.", [](const auto&, const auto& usage) { return usage.gpus.size(); });
}

}  // namespace

void Metrics::request(const std::string& method, const std::string& route, int status, std::chrono::duration<double> took) {
  const auto bucket = std::lower_bound(kBuckets.begin(), kBuckets.end(), took.count()) - kBuckets.begin();
  const std::lock_guard lock(mutex_);
  Route& counted = routes_[{method, route}];
  ++counted.counts[static_cast<size_t>(bucket)];
  counted.seconds += took.count();
  ++counted.by_status[status];
}

void Metrics::load(const Load& load) {
  const std::lock_guard lock(mutex_);
  Loads& loads = loads_[load.way == "thin" ? "thin" : "full"];
  ++loads.count;
  loads.sent_bytes += load.sent_bytes;
  loads.saved_bytes += load.saved_bytes;
  loads.seconds += load.seconds;
}

std::string Metrics::text(const Snapshot& snapshot) const {
  Page page;
  tell_process(page);
  tell_tasks(page, snapshot);
  tell_nodes(page, snapshot);

  const std::lock_guard lock(mutex_);
  const auto loads = [&](const char* name, const char* help, const auto& value) {
    page.family(name, "counter", help);
    for (const char* way : {"thin", "full"}) {
      const auto found = loads_.find(way);
      page.sample(value(found == loads_.end() ? Loads{} : found->second), fmt::format("way=\"{}\"", way));
    }
  };
  loads("riverbox_environment_loads_total", "Environments that nodes have loaded.", [](const Loads& l) { return l.count; });
  loads("riverbox_environment_load_seconds_total", "Time that it took.", [](const Loads& l) { return l.seconds; });
  loads("riverbox_environment_load_bytes_total", "Bytes of layers that were sent to their engines.", [](const Loads& l) { return l.sent_bytes; });
  loads("riverbox_environment_load_saved_bytes_total", "Bytes of layers that the engines had already.", [](const Loads& l) { return l.saved_bytes; });

  page.family("riverbox_http_requests_total", "counter", "Requests that were answered.");
  for (const auto& [key, route] : routes_)
    for (const auto& [status, count] : route.by_status) page.sample(count, fmt::format("method=\"{}\",route=\"{}\",code=\"{}\"", label(key.first), label(key.second), status));
  page.family("riverbox_http_request_duration_seconds", "histogram", "Time from the request to its answer.");
  for (const auto& [key, route] : routes_) {
    const auto labels = fmt::format("method=\"{}\",route=\"{}\"", label(key.first), label(key.second));
    std::uint64_t so_far = 0;
    for (size_t i = 0; i < route.counts.size(); ++i) {
      so_far += route.counts[i];
      page.sample(so_far, i < kBuckets.size() ? fmt::format("{},le=\"{}\"", labels, kBuckets[i]) : labels + ",le=\"+Inf\"", "_bucket");
    }
    page.sample(route.seconds, labels, "_sum");
    page.sample(so_far, labels, "_count");
  }
  return page.take();
}

}  // namespace riverbox::api
