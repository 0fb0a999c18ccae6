#include "applets/serve.hpp"

#include <csignal>
#include <optional>
#include <utility>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "applets/api_client.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/folders.hpp"
#include "os/process.hpp"
#include "os/sd_notify.hpp"
#include "os/worker_pool.hpp"

namespace riverbox::applets {

namespace {

constexpr unsigned kStopSeconds = 15;

log::Level level_of(const Config& config) {
  const std::string& name = config.log.level;
  return name == "debug" ? log::Level::debug : name == "warning" ? log::Level::warning : name == "error" ? log::Level::error : log::Level::info;
}

// Stop = crash (design, section 4): what a share that hangs still holds up is left to the next start.
void leave_now(int) { ::_exit(0); }

class Server {
public:
  Server(boost::asio::io_context& loop, std::string component, std::function<void()> stop, Reload reload)
      : loop_(loop), component_(std::move(component)), stop_(std::move(stop)), reload_(std::move(reload)), signals_(loop, SIGTERM, SIGINT, SIGHUP), watchdog_(loop) {}

  void start() {
    wait_for_signal();
    interval_ = os::watchdog_interval();
    if (interval_) ping();
    os::sd_notify("READY=1");
  }

private:
  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      if (number != SIGHUP) return shut_down();
      read_again();
      wait_for_signal();
    });
  }

  void read_again() {
    if (std::exchange(reading_, true)) {
      once_more_ = true;  // the file may have changed since it was read
      return;
    }
    os::sd_notify_reloading();
    reader_.post([this] {
      std::optional<Config> next;
      std::string mistake;
      try {
        next = reload_.read();
      } catch (const std::exception& error) {
        mistake = error.what();
      }
      boost::asio::post(loop_, [this, next = std::move(next), mistake = std::move(mistake)] { has_read(next, mistake); });
    });
  }

  void has_read(const std::optional<Config>& next, std::string mistake) {
    if (stopping_) return;
    reading_ = false;
    if (next) {
      try {
        take_over(*next);
      } catch (const std::exception& error) {
        mistake = error.what();
      }
    }
    if (!mistake.empty()) log::error(component_, "the configuration has a mistake and nothing of it is taken over", {{"reason", mistake}});
    os::sd_notify("READY=1");
    if (std::exchange(once_more_, false)) read_again();
  }

  void take_over(const Config& next) {
    for (const std::string& warning : next.warnings) log::warning("config", warning);
    Config mixed = reload_.running.with_live_values_of(next);
    reload_.apply(mixed);
    size_t taken = 0, refused = 0;
    for (const auto& [key, value, origin, live] : reload_.running.changed_in(next)) {
      ++(live ? taken : refused);
      if (live) log::info(component_, key + ": changed", {{"value", value}, {"origin", origin}});
      else log::warning(component_, key + ": restart riverbox " + component_ + " to change it", {{"value", value}, {"origin", origin}});
    }
    log::set_level(level_of(mixed));
    log::info(component_, "the configuration was read again", {{"changed", std::to_string(taken)}, {"refused", std::to_string(refused)}});
    reload_.running = std::move(mixed);
  }

  void shut_down() {
    stopping_ = true;
    log::info(component_, "stopping");
    os::sd_notify("STOPPING=1");
    boost::system::error_code ignored;
    signals_.clear(ignored);  // the next SIGTERM or SIGINT has its default action: the end
    watchdog_.cancel();
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGALRM, leave_now);
    ::alarm(kStopSeconds);
    stop_();
  }

  void ping() {
    os::sd_notify("WATCHDOG=1");
    watchdog_.expires_after(*interval_);
    watchdog_.async_wait([this](const boost::system::error_code& error) {
      if (!error) ping();
    });
  }

  boost::asio::io_context& loop_;
  std::string component_;
  std::function<void()> stop_;
  Reload reload_;
  bool reading_ = false, once_more_ = false, stopping_ = false;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_;
  std::optional<std::chrono::microseconds> interval_;
  os::WorkerPool reader_{"configuration", 1};  // last: it works with the others
};

std::uint16_t port_number(const std::string& text) {
  const auto port = parse_u64(text);
  if (!port || *port > 65535) throw UsageError("--port: '" + text + "' is no port number.", "Ports are 1 to 65535; 0 takes any that is free.");
  return static_cast<std::uint16_t>(*port);
}

// A share that nobody named is a folder of ours: it is made. One that was named may be a mount that is missing, and writing
// below it would hide that.
void make_default_folders(const Config& config) {
  std::error_code ignored;  // who needs the folder says what is wrong with it
  const auto& state = config.paths.state_dir;  // ours alone, before something else makes it on its way
  os::make_private_folders(state);
  const auto is_ours = [&config](const char* key) { return config.origin_of(key) == "default"; };
  if (is_ours("paths.shared_dir")) std::filesystem::create_directories(config.container_dir(), ignored);
  if (is_ours("paths.local_temp_dir")) std::filesystem::create_directories(config.paths.local_temp_dir, ignored);
}

}  // namespace

Config configured(const Arguments& arguments) {
  Config config = config_of(arguments);
  const auto take = [&](const char* flag, const char* key, const auto& assign) {
    const auto value = arguments.find(flag);
    if (!value) return;
    assign(*value);
    config.origin[key] = flag;
  };
  take("--bind", "network.host_bind_ip", [&](const std::string& v) { config.network.host_bind_ip = v; });
  take("--port", "network.host_port", [&](const std::string& v) { config.network.host_port = port_number(v); });
  take("--token", "security.token", [&](const std::string& v) { config.security.token = v; });
  take("--name", "runner.name", [&](const std::string& v) { config.runner.name = v; });
  return config;
}

Config begin_with(Config config) {
  log::set_level(level_of(config));
  for (const std::string& warning : config.warnings) log::warning("config", warning);
  make_default_folders(config);
  return config;
}

void refuse_open_doors(Config& config, const Arguments& arguments) {
  const std::string& bind = config.network.host_bind_ip;
  if (config.security.auth != "none" || bind.starts_with("127.") || bind == "::1" || bind == "[::1]" || bind == "localhost" || arguments.has("--i-know")) return;
  if (config.origin_of("network.host_bind_ip") != "default")
    throw ConfigError("authentication is off ([security] auth = \"none\") and the host is to listen on " + bind + ": whoever reaches it would be root on every node",
                      "Set auth = \"token\", or listen on 127.0.0.1. If only people whom you trust with that reach it: " + arguments.full_name + " --i-know");
  log::warning("host", "authentication is off, so only this machine is listened to; to listen to others as well, say --i-know", {{"address", "127.0.0.1"}});
  config.network.host_bind_ip = "127.0.0.1";
}

Option i_know_option() { return {.names = "--i-know", .value = "", .help = "listen to other machines although authentication is off"}; }

void naming_the_port_flag(const Arguments& arguments, const std::function<void()>& bind) {
  try {
    bind();
  } catch (const Unavailable& error) {
    if (error.fact().find("in use") == std::string::npos) throw;
    throw Unavailable(error.fact(), "Stop that program, or choose another port: " + arguments.full_name + " --port 8123");
  }
}

int serve(boost::asio::io_context& loop, const std::string& component, const std::function<void()>& stop, Reload reload) {
  os::raise_file_limit();
  Server server(loop, component, stop, std::move(reload));
  server.start();
  loop.run();
  return 0;
}

}  // namespace riverbox::applets
