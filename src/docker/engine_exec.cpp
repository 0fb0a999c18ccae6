// Commands in a running container.
#include <poll.h>

#include <thread>

#include "docker/engine_impl.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kMaxOutputBytes = 1 << 20;

Call exec_call(const char* verb, const std::string& exec_id, const char* method, const std::string& rest) {
  Call call;
  call.topic = Topic::exec;
  call.request.action = std::string(verb) + " exec " + exec_id.substr(0, 12);
  call.request.method = method;
  call.request.path = "/exec/" + path_segment(exec_id, "exec ID") + rest;
  return call;
}

}  // namespace

Exec Engine::start_exec(const std::string& container, const ExecSpec& spec) {
  json body = {{"AttachStdin", spec.attach_stdin}, {"AttachStdout", true}, {"AttachStderr", true}, {"Tty", spec.tty}, {"Cmd", spec.command}};
  if (!spec.env.empty()) body["Env"] = spec.env;
  if (!spec.user.empty()) body["User"] = spec.user;
  if (!spec.working_dir.empty()) body["WorkingDir"] = spec.working_dir;
  if (spec.privileged) body["Privileged"] = true;
  json start = {{"Detach", false}, {"Tty", spec.tty}};
  const bool sized = spec.tty && spec.rows > 0 && spec.columns > 0 && !api_less(impl_->api.negotiated(), "1.42");
  if (sized) body["ConsoleSize"] = start["ConsoleSize"] = {spec.rows, spec.columns};

  auto create = container_call("run a command in", container, "POST", "/exec");
  create.topic = Topic::exec;
  const std::string action = create.request.action;
  try {
    create.request.body = body.dump();
  } catch (const json::exception&) {
    throw InvalidInput("cannot " + action + ": the command or its environment is not UTF-8");
  }
  Exec exec;
  exec.id = text(impl_->api.ask(std::move(create)), "Id");
  auto call = exec_call("start", exec.id, "POST", "/start");
  call.request.action = action;
  call.request.body = start.dump();
  exec.stream = open_hijacked(impl_->api, std::move(call));
  return exec;
}

void Engine::start_detached_exec(const std::string& container, const std::vector<std::string>& command) {
  auto create = container_call("run a command in", container, "POST", "/exec");
  create.topic = Topic::exec;
  create.request.body = json{{"Cmd", command}}.dump();
  auto start = exec_call("start", text(impl_->api.ask(std::move(create)), "Id"), "POST", "/start");
  start.request.body = R"({"Detach":true})";
  impl_->api.send(std::move(start));
}

void Engine::resize_exec(const std::string& exec_id, std::uint16_t rows, std::uint16_t columns) {
  impl_->api.send(exec_call("resize the terminal of", exec_id, "POST",
                            "/resize" + query({{"h", std::to_string(rows)}, {"w", std::to_string(columns)}})));
}

Engine::ExecState Engine::inspect_exec(const std::string& exec_id) {
  auto answer = impl_->api.ask(exec_call("inspect", exec_id, "GET", "/json"));
  return {flag(answer, "Running"), static_cast<int>(number(answer, "ExitCode"))};
}

Engine::ExecResult Engine::run_exec(const std::string& container, const std::vector<std::string>& command, seconds timeout) {
  ExecSpec spec;
  spec.command = command;
  spec.attach_stdin = false;
  const auto end = Clock::now() + timeout;
  auto exec = start_exec(container, spec);
  ExecResult result{};
  auto keep = [&](bool is_stderr, std::string_view bytes) {
    auto& output = is_stderr ? result.stderr_text : result.stdout_text;
    output.append(bytes.substr(0, kMaxOutputBytes - std::min(kMaxOutputBytes, output.size())));
  };
  Demux demux;
  char buffer[16 << 10];
  for (;;) {
    auto got = exec.stream->read_some(buffer, sizeof buffer);
    if (got && *got == 0) break;
    if (got) {
      demux.feed({buffer, *got}, keep);
    } else {
      auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
      pollfd waited{exec.stream->wait_fd(), POLLIN, 0};
      if (left > 0) ::poll(&waited, 1, static_cast<int>(std::min<long>(left, 1000)));
    }
    if (Clock::now() >= end)
      throw Timeout("'" + command.front() + "' in container '" + container + "' did not end within " + std::to_string(timeout.count()) + " s");
  }
  // The stream ends a moment before the daemon has the exit code.
  for (auto state = inspect_exec(exec.id);; state = inspect_exec(exec.id)) {
    result.exit_code = state.exit_code;
    if (!state.running || Clock::now() >= end) return result;
    std::this_thread::sleep_for(milliseconds(10));
  }
}

}  // namespace riverbox::docker
