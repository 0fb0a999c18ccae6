// The stored output of tasks: whole, a range of it, or its last lines (docs/api.md, "Output of a task").
#include <fmt/format.h>

#include "api/file_answer.hpp"
#include "api/gate.hpp"
#include "api/output.hpp"
#include "api/services.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

// "?tail=N", and "?lines=N" of older clients.
std::optional<std::uint64_t> asked_lines(const net::Request& request) {
  for (const char* key : {"tail", "lines"})
    if (const auto value = request.query.find(key); value != request.query.end()) {
      const auto count = parse_u64(value->second);
      if (!count) throw InvalidInput(fmt::format("'{}' must be a number of lines", key));
      return *count;
    }
  return std::nullopt;
}

net::PartRequest asked_part(const net::Request& request) {
  net::PartRequest part{.range = {}, .last_lines = asked_lines(request)};
  // If-Range names a state of the file; what grows has no names for them, so it never matches.
  if (const auto* range = request.header("range"); range && !request.header("if-range")) part.range = *range;
  return part;
}

void send_part(const CallPtr& call, const net::FilePart& part, int attempt) {
  auto head = output_head(part.wish, part.whole_bytes, attempt);
  if (part.wish.kind == net::RangeWish::Kind::unsatisfiable) return call->responder->send(std::move(head));
  send_part_of_file(call, std::move(head), part.fd.get(), part.path, part.wish.offset, part.wish.size_bytes);
}

void task_output(const CallPtr& call, bool is_stderr) {
  const auto task = visible_task(*call);
  const auto asked = asked_part(call->request);
  on_lane(call, Lane::transfer, [call, task, asked, is_stderr] {
    const auto& file = is_stderr ? task.spec.stderr_file : task.spec.stdout_file;
    if (file.empty()) return send_no_output(call, is_stderr, asked, task.spec.attempt);  // an imported task that had none
    const auto part = net::open_part({call->services.config->paths.shared_dir, file}, asked);
    if (part.fd) return send_part(call, part, task.spec.attempt);
    if (!send_remote_output(call, task, is_stderr, asked)) send_no_output(call, is_stderr, asked, task.spec.attempt);
  });
}

}  // namespace

net::Response output_head(const net::RangeWish& wish, std::uint64_t whole_bytes, int attempt) {
  if (wish.kind == net::RangeWish::Kind::unsatisfiable)
    return nothing_at_range(detail(416, fmt::format("there is nothing at that range: the output has {} bytes so far", whole_bytes)), whole_bytes);
  net::Response head{.content_type = "text/plain; charset=utf-8"};
  head.headers = {{"X-Content-Type-Options", "nosniff"}, {"Riverbox-Attempt", std::to_string(attempt)}, {"Riverbox-Offset", std::to_string(wish.offset)}};
  return with_range(std::move(head), wish, whole_bytes);
}

void send_no_output(const CallPtr& call, bool is_stderr, const net::PartRequest& request, int attempt) {
  if (call->dialect == Dialect::classic)
    return call->responder->send(detail(404, fmt::format("Standard {} file not found (might not be generated yet).", is_stderr ? "error" : "output")));
  const auto wish = request.last_lines ? net::RangeWish{} : net::parse_range(request.range ? &*request.range : nullptr, nullptr, "", 0);
  call->responder->send(output_head(wish, 0, attempt));
}

void task_stdout(CallPtr call) { task_output(call, false); }
void task_stderr(CallPtr call) { task_output(call, true); }

}  // namespace riverbox::api
