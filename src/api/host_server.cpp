#include "api/host_server.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "api/events.hpp"
#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/housekeeping.hpp"
#include "api/registry.hpp"
#include "api/services.hpp"
#include "api/sockets.hpp"
#include "api/ssh_proxy.hpp"
#include "api/trace.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "config.h"
#include "net/certificate.hpp"
#include "net/server.hpp"
#include "os/folders.hpp"

namespace riverbox::api {
namespace {

constexpr std::chrono::milliseconds kMaxAgeOfAnswers{500};
constexpr std::chrono::hours kRenewal{12};  // how often the host looks at its certificate

docker::Engine make_engine(const Config& config) {
  return docker::Engine(docker::Endpoint::configured(config.docker.endpoint));
}

// Where the output of an attempt goes, relative to the share: of the first one as each prefix's original does.
std::string log_file(const std::string& prefix, TaskId id, int attempt, bool is_stderr) {
  const std::string which = attempt > 1 ? "." + std::to_string(attempt) : "";
  if (prefix == "hakuriver") return is_stderr ? "task_errors/" + id.str() + which + ".err" : "task_outputs/" + id.str() + which + ".out";
  return "logs/" + id.str() + (is_stderr ? "/stderr" : "/stdout") + which + ".log";
}

host::Tasks::LogFile log_files(const Config& config) {
  return [prefix = config.docker.prefix](TaskId id, int attempt, bool is_stderr) { return log_file(prefix, id, attempt, is_stderr); };
}

std::string token_of(const Config& config) {
  if (config.security.auth == "none") {
    log::warning("host", "authentication is OFF ([security] auth = \"none\"): whoever reaches the port is root on every node");
    return "";
  }
  return config.security.token.empty() ? net::read_or_create_token(config.security.token_file) : config.security.token;
}

net::AccessPolicy::Finders finders(host::Tokens& tokens, const host::LocalUsers& local_users, net::Tickets& tickets) {
  if (tokens.off()) return {};
  return {.token = [&tokens](const std::string& token) { return tokens.find(token); },
          .local = [&local_users](const net::LocalUser& user) {
            auto groups = user.groups;
            groups.push_back(user.gid);
            return local_users.find(user.uid, groups);
          },
          .ticket = [&tokens, &tickets](const std::string& ticket, const std::string& path) {
            auto identity = tickets.take(ticket, path);
            return identity && (identity->token_id.empty() || tokens.is_valid(identity->token_id)) ? identity : std::nullopt;  // its token may have ended since
          }};
}

std::shared_ptr<net::TlsContext> tls_of(const Config& config) {
  const auto files = net::certificate_of(config);
  return files ? net::TlsContext::server(files->certificate, files->key) : nullptr;
}

net::ServerOptions server_options(const HostServerOptions& options) {
  const Config& config = options.config;
  return {.bind_address = config.network.host_bind_ip, .port = config.network.host_port, .inherited_socket = options.inherited_socket, .tls = tls_of(config), .unix_socket = config.unix_socket(),
          .max_connections_per_peer = static_cast<unsigned>(config.network.max_connections_per_peer), .websocket = {}};
}

PublicAddress address_of(const Config& config, std::uint16_t port) {
  if (config.security.tls == "off") return {"http", port, ""};
  const auto pin = net::pin_of(config);
  return {"https", port, pin ? "#" + pin->str() : ""};
}

// The state is ours alone: a folder that only its owner can read. A share that nobody configured lies in it and is made, too;
// one that was configured and is missing is not mounted, and nothing must be written where it will be.
const Config& with_folders(const Config& config) {
  std::error_code error = os::make_private_folders(config.database.db_file.parent_path());
  if (!error && config.paths.shared_dir.parent_path() == config.paths.state_dir) {
    using enum std::filesystem::perms;
    if (std::filesystem::create_directories(config.paths.shared_dir, error)) std::filesystem::permissions(config.paths.shared_dir, owner_all | group_read | group_exec | others_read | others_exec, error);
  }
  if (error)
    throw IoError("make the state folder " + config.paths.state_dir.string(), error.value(), "Choose another with [paths] state_dir or $RIVERBOX_PATHS_STATE_DIR.");
  return config;
}

host::Environments::Packaging packaging_of(const Config& config) {
  return {config.docker.keep_versions, config.docker.max_layers, config.docker.compression == "gzip" ? environment::Compression::gzip : environment::Compression::none};
}

host::Retention::Policy retention_of(const Config& config) {
  return {.tasks = std::chrono::hours(24) * config.retention.tasks_days, .output = std::chrono::hours(24) * config.retention.logs_days};
}

// The same text for the same question, of the same one if it matters who asks.
std::string question_of(const net::Request& request, const Identity& identity, Answer answer) {
  std::string question = answer == Answer::shared ? request.path : fmt::format("{} {} {}", to_string(identity.role), identity.name, request.path);
  for (const auto& [key, value] : request.query) question += fmt::format(" {} {} {}{}", key.size(), value.size(), key, value);
  return question;
}

bool changes_something(const std::string& method) { return method != "GET" && method != "HEAD"; }

}  // namespace

Services::Services(boost::asio::io_context& l, const Config& c, std::string t, bool shares_daemon_with_runner)
    : loop(l),
      config(c),
      token(std::move(t)),
      naming(c.docker.prefix),
      engine(make_engine(c)),
      database(with_folders(c).database.db_file, store::kHostMigrations),
      node_repository(database),
      task_repository(database),
      publications(database),
      token_repository(database),
      event_repository(database),
      vps_repository(database),
      vps_assignments(database),
      version_keys(c.paths.state_dir),
      environments(engine, naming, environment::Share(c.container_dir(), c.paths.shared_dir), publications,
                   {.packaging = packaging_of(c), .keep_image = shares_daemon_with_runner,
                    .keys = &version_keys, .signatures = {environment::parse_signature_policy(c.security.signatures), version_keys.trusted()},
                    .in_use = [this](const environment::EnvironmentName& name, const environment::Version& version) {
                      return !versions.reason_to_stay(name, version, false).empty();
                    },
                    .tell = environment_events(event_repository)}),
      versions(environments.share(), task_repository, environment_events(event_repository), &version_keys),
      registry(environments.share()),
      archives([this](std::function<void()> work) { return listing.post(std::move(work)); }, [this] { return environments.archives(); }),
      nodes(node_repository, c.timing.heartbeat_interval, c.timing.heartbeat_timeout_factor),
      tasks(task_repository, nodes, log_files(c)),
      vpses(vps_repository, vps_assignments, tasks, nodes),
      snapshots(nodes),
      retention(task_repository, c.paths.shared_dir, log_files(c), retention_of(c)),
      warm_up(nodes, task_repository, c.docker.image_sync_timeout),
      task_policy(host::TaskPolicy(c)),
      tokens(token_repository, token),
      local_users(c.security.local_users),
      access(c, finders(tokens, local_users, tickets)),
      guests(loop, [this](const std::string& token_id) { return tokens.is_valid(token_id); }),
      vps_guests(loop, [](const std::string&) { return true; }),
      answers([this] { return database.changes() + nodes.changes(); }, kMaxAgeOfAnswers),
      container_walk([this](std::function<void()> work) { return slow.post(std::move(work)); }, [this] { return environments.list(true); }) {
  tokens.on_end = [this](const std::string& token_id) { guests.show_out(token_id); };
}

struct HostServer::Impl {
  Impl(boost::asio::io_context& loop, HostServerOptions options)
      : services(loop, options.config, token_of(options.config), options.shares_daemon_with_runner),
        housekeeping(services),
        server(loop, server_options(options),
               {.http = [this](net::Request request, std::shared_ptr<net::Responder> responder) { handle(std::move(request), std::move(responder)); },
                .upgrade = [this](const net::Request& request) { return decide_upgrade(services, request); }}),
        renewal(loop) {
    services.address = address_of(options.config, server.port());
  }

  // Loop thread: checks, then hands over to the lane of the row.
  void handle(net::Request request, std::shared_ptr<net::Responder> responder) {
    auto found = match(request.method, request.path);
    auto id = request_id(request);
    const log::Scope scope("request", id);
    responder = traced(std::move(responder), services.metrics, request, std::move(id), found.route ? found.route->pattern : "(none)");
    const bool registry = is_registry_path(request.path);
    if (!found.route && !registry) return responder->send(found.known_path ? detail(405, "Method Not Allowed") : detail(404, "Not Found"));
    // Also where no secret has to be shown: a page whose name was made to mean this machine reads nothing here.
    if (changes_something(request.method) || !services.access.requires_token() || request.local_user)
      if (auto refusal = services.access.check_origin(request)) return responder->send(*refusal);
    auto admitted = admit(services, request, found.route ? found.route->access : Access::puller);
    if (auto* refusal = std::get_if<net::Response>(&admitted)) return responder->send(std::move(*refusal));
    if (!found.route) return responder->send(registry_refusal(request.method, found.known_path));
    auto& identity = std::get<Identity>(admitted);
    if (changes_something(request.method)) audit(identity, request);
    std::optional<Answers::Draft> draft;
    if (found.route->answer != Answer::made) {
      draft = services.answers.draft(question_of(request, identity, found.route->answer));
      if (auto kept = services.answers.find(draft->question)) return responder->send({.body = std::move(*kept)});
    }
    auto call = std::make_shared<Call>(Call{services, std::move(request), std::move(found.parameters), found.dialect, std::move(responder), std::move(identity), std::move(draft)});
    on_lane(call, found.route->lane, found.route->handler);
  }

  // A certificate that grows old is made again, or has been by whoever gave it.
  void renew_certificate() {
    renewal.expires_after(kRenewal);
    renewal.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      read_certificate();
      renew_certificate();
    });
  }

  void read_certificate() {
    const auto config = services.config.now();
    if (config->security.tls == "off") return;
    services.slow.post([this, config] {
      try {
        boost::asio::post(services.loop, [this, tls = tls_of(*config)] { server.set_tls(tls); });
        services.state.post([this, address = address_of(*config, server.port())] { services.address = address; });
      } catch (const std::exception& e) {
        log::error("host", "the certificate cannot be read again; the one before stays", {{"reason", e.what()}});
      }
    });
  }

  // Whose line carries tokens: where the API is not in the clear, it is not either, and riverbox ssh comes through the API.
  void open_ssh_proxy() {
    const auto config = services.config.now();
    const auto port = config->network.host_ssh_proxy_port;
    if (port == 0 || config->security.tls != "off") return;
    try {
      ssh_proxy.emplace(services, config->network.host_bind_ip, port);
    } catch (const Error& error) {
      log::warning("host", "there is no SSH proxy for clients of HakuRiver; riverbox ssh does without it", {{"reason", error.what()}});
    }
  }

  // Docker and the share may be away: that is said, and each request that needs them says it again.
  void recover() {
    services.slow.post([this] {
      try {
        services.environments.share().prepare();
        services.environments.share().remove_stale_temporaries(24 * 3600);
      } catch (const std::exception& e) {
        log::error("host", "the share is not usable", {{"reason", e.what()}});
      }
      services.environments.recover();
    });
    services.docker.post([this] {
      try {
        auto version = services.engine.version();
        log::info("host", "Docker Engine found", {{"version", version.engine}, {"api", version.api}});
      } catch (const std::exception& e) {
        log::warning("host", "no Docker Engine; environments cannot be managed", {{"reason", e.what()}});
      }
    });
  }

  Services services;
  Housekeeping housekeeping;
  net::Server server;
  std::optional<SshProxy> ssh_proxy;
  boost::asio::steady_timer renewal;
};

HostServer::HostServer(boost::asio::io_context& loop, HostServerOptions options) : impl_(std::make_unique<Impl>(loop, std::move(options))) {}
HostServer::~HostServer() = default;

void HostServer::start() {
  impl_->recover();
  impl_->housekeeping.start();
  impl_->open_ssh_proxy();
  note_event(impl_->services.event_repository, {.type = "host", .action = "started", .subject = "host", .message = "riverbox " RIVERBOX_VERSION});
  if (impl_->services.config->security.tls != "off") impl_->renew_certificate();
  const auto config = impl_->services.config.now();
  log::info("host", "listening", {{"address", config->network.host_bind_ip}, {"port", std::to_string(port())}, {"tls", config->security.tls}, {"unix_socket", config->unix_socket().string()}});
}

void HostServer::reload(const Config& config) {
  auto& services = impl_->services;
  net::AccessPolicy access(config, finders(services.tokens, services.local_users, services.tickets));
  host::TaskPolicy task_policy(config);  // the last that can fail
  services.config.replace(config);
  services.task_policy.replace(std::move(task_policy));
  services.access = std::move(access);
  services.environments.change(packaging_of(config));
  impl_->read_certificate();
  services.state.post([&services, policy = retention_of(config)] { services.retention.change(policy); });
}

void HostServer::stop() {
  impl_->housekeeping.stop();
  impl_->renewal.cancel();
  impl_->server.stop();
  impl_->ssh_proxy.reset();
  impl_->services.registry.stop();
  note_event(impl_->services.event_repository, {.type = "host", .action = "stopped", .subject = "host"});
}
std::uint16_t HostServer::port() const { return impl_->server.port(); }
std::string HostServer::url(const std::string& address) const { return impl_->services.address.at(address); }
std::string HostServer::token() const { return impl_->services.token; }

}  // namespace riverbox::api
