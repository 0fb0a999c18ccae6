#include "runner/runner.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <mutex>

#include "base/error.hpp"
#include "base/log.hpp"
#include "config.h"
#include "os/worker_pool.hpp"
#include "runner/doors.hpp"
#include "runner/executor.hpp"
#include "runner/forwards.hpp"
#include "runner/inventory.hpp"
#include "runner/lease.hpp"
#include "runner/link.hpp"
#include "runner/log_stream.hpp"
#include "runner/snapshot_desk.hpp"
#include "runner/terminals.hpp"
#include "runner/tunnel_gateway.hpp"
#include "runner/warmer.hpp"

namespace riverbox::runner {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kHoldingsInterval{1};
constexpr std::chrono::seconds kLeaseInterval{1};

template <class... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Match(Cases...) -> Match<Cases...>;

fs::path state_file(const Config& config, const std::string& node) {
  std::error_code error;
  fs::create_directories(config.paths.state_dir, error);
  if (error) throw IoError("create " + config.paths.state_dir.string(), error.value(), "Set [paths] state_dir to a folder that the runner can write.");
  return fs::absolute(config.paths.state_dir / ("runner-" + node + ".db"));
}

NetworkPlan network_of(const Config& config) {
  try {
    return NetworkPlan::of(docker::Naming(config.docker.prefix), config.docker.tasks_network, config.docker.tasks_subnet);
  } catch (const InvalidInput& error) {
    throw ConfigError("docker.tasks_subnet: " + error.fact(), error.next());
  }
}

SnapshotRules rules_of(const Config& config) {
  return {config.vps.auto_snapshot_on_stop, config.vps.auto_restore_on_create, static_cast<size_t>(config.vps.max_snapshots_per_vps)};
}

NodeFacts facts_of(const Config& config, const Inventory& inventory, const fs::path& state) {
  return {docker::Naming(config.docker.prefix), inventory.node, fs::absolute(config.paths.shared_dir), fs::absolute(config.paths.local_temp_dir),
          inventory.numa, state.string(), config.docker.tasks_pids_limit, network_of(config).name, fs::absolute(config.paths.state_dir) / "bin/riverbox",
          fs::absolute(config.paths.state_dir) / "doors", config.runner.tunnel_gateway};
}

}  // namespace

class Runner::Impl : public std::enable_shared_from_this<Runner::Impl> {
public:
  Impl(boost::asio::io_context& loop, RunnerOptions options)
      : loop_(loop),
        config_(std::move(options.config)),
        token_(std::move(options.token)),
        inventory_(read_inventory(node_name(config_))),
        state_file_(state_file(config_, inventory_.node)),
        database_(state_file_, store::kRunnerMigrations),
        attempts_(database_),
        lease_(fs::path(state_file_).replace_extension(".lease")),
        lease_timer_(loop),
        engine_(docker::Endpoint::configured(config_.docker.endpoint)),
        keys_(std::make_shared<environment::TrustedKeys>(fs::path(state_file_).replace_extension(".keys"))),
        syncer_(engine_, docker::Naming(config_.docker.prefix), environment::Share(config_.container_dir(), config_.paths.shared_dir),
                {.remove_superseded = config_.docker.remove_superseded_images,
                 .memory = fs::path(state_file_).replace_extension(".images.json"),
                 .host = std::make_shared<environment::HostRegistry>(config_.url(), token_, fs::absolute(config_.paths.state_dir)),
                 .signatures = {environment::parse_signature_policy(config_.security.signatures), keys_},
                 .loaded = [this](const environment::SyncResult& result) { say(loaded_text(result)), warmer_.look(); }}),
        reports_(database_, [this](std::uint64_t generation, std::string message) { deliver(generation, std::move(message)); }),
        warmer_(engine_, syncer_, docker::Naming(config_.docker.prefix), config_.docker.image_sync_timeout,
                [this](std::string message) { say(std::move(message)); }),
        processes_(state_file_.parent_path() / "host-tasks" / inventory_.node, facts_of(config_, inventory_, state_file_),
                   {.allowed = config_.runner.allow_host_tasks, .user = config_.environment.runner_user}),
        network_(engine_, network_of(config_)),
        doors_(loop, facts_of(config_, inventory_, state_file_).doors),
        snapshots_(engine_, facts_of(config_, inventory_, state_file_), rules_of(config_)),
        publisher_(engine_, docker::Naming(config_.docker.prefix), environment::Share(config_.container_dir(), config_.paths.shared_dir),
                   config_.docker.compression == "gzip" ? environment::Compression::gzip : environment::Compression::none),
        executor_(Services{engine_, syncer_, attempts_, reports_, logs_, processes_, network_, doors_, snapshots_, facts_of(config_, inventory_, state_file_),
                           config_.docker.image_sync_timeout}),
        snapshot_desk_(snapshots_, publisher_, [this](std::string message) { say(std::move(message)); }),
        terminals_(std::make_shared<Terminals>(loop, executor_, StreamTarget{config_.url(), token_})),
        forwards_(std::make_shared<Forwards>(loop, executor_, doors_, StreamTarget{config_.url(), token_})) {
    inventory_.host_tasks = config_.runner.allow_host_tasks;
    if (!config_.runner.tunnel_gateway.empty()) gateway_.emplace(loop, config_.runner.tunnel_gateway, engine_, doors_);
  }

  void start();
  void stop();

private:
  void make_link();
  void watch_lease();
  void handle(HostMessage message);
  void learn(Keys keys);
  void follow(OpenLogs wanted);
  void send_part(OpenLogs wanted);
  void start_stream(std::shared_ptr<AttemptLog> log, OpenLogs wanted, std::string head = {});
  void deliver(std::uint64_t generation, std::string message);
  void say(std::string message);
  std::string hello();
  std::string heartbeat();
  void sample();

  boost::asio::io_context& loop_;
  const Config config_;
  const std::string token_;
  Inventory inventory_;  // loop thread, once the link exists
  const fs::path state_file_;
  store::Database database_;
  store::AttemptRepository attempts_;
  Lease lease_;                             // loop thread
  boost::asio::steady_timer lease_timer_;
  docker::Engine engine_;
  const std::shared_ptr<environment::TrustedKeys> keys_;
  environment::Syncer syncer_;
  LogHub logs_;

  struct Sample {
    os::Load load;
    std::vector<os::Gpu> gpus;
  };
  std::mutex sample_mutex_;
  Sample sample_;
  bool sampling_ = false;     // loop thread
  os::LoadMeter load_meter_;  // the sampler's thread

  std::shared_ptr<Link> link_;                        // loop thread; set before anything is delivered
  std::vector<std::weak_ptr<LogStream>> streams_;     // loop thread
  bool stopped_ = false;
  Clock::time_point holdings_told_{};                 // loop thread

  // Destroyed in this order from below: what uses others goes first.
  ReportQueue reports_;
  Warmer warmer_;
  HostProcesses processes_;
  TaskNetwork network_;
  Doors doors_;
  Snapshots snapshots_;
  VpsPublisher publisher_;
  Executor executor_;
  SnapshotDesk snapshot_desk_;
  std::shared_ptr<Terminals> terminals_;
  std::shared_ptr<Forwards> forwards_;
  std::optional<TunnelGateway> gateway_;
  os::WorkerPool log_readers_{"log readers", 4};
  os::WorkerPool sampler_{"sampler", 1};
};

void Runner::Impl::start() {
  make_link();
  executor_.adopt();
  if (!executor_.unfinished().empty())
    log::info("runner", "taking up tasks of an earlier run", {{"tasks", std::to_string(executor_.unfinished().size())}});
  watch_lease();
  // nvidia-smi may take seconds; the hello wants the GPUs.
  sampler_.post([this] {
    auto gpus = os::gpus();
    auto load = load_meter_.sample();
    {
      std::lock_guard lock(sample_mutex_);
      sample_ = {load, gpus};
    }
    boost::asio::post(loop_, [weak = weak_from_this(), gpus = std::move(gpus)]() mutable {
      auto self = weak.lock();
      if (!self || self->stopped_) return;
      self->inventory_.gpus = std::move(gpus);
      self->link_->start();
    });
  });
}

void Runner::Impl::make_link() {
  Link::Handlers handlers;
  auto weak = weak_from_this();
  handlers.hello = [weak] {
    auto self = weak.lock();
    return self ? self->hello() : std::string();
  };
  handlers.heartbeat = [weak] {
    auto self = weak.lock();
    return self ? self->heartbeat() : std::string();
  };
  handlers.up = [weak](std::uint64_t generation) {
    auto self = weak.lock();
    if (!self) return;
    self->reports_.replay(generation);
    self->warmer_.look();
  };
  handlers.message = [weak](HostMessage message) {
    if (auto self = weak.lock()) self->handle(std::move(message));
  };
  handlers.shared_dir = config_.paths.shared_dir.string();
  link_ = std::make_shared<Link>(loop_, config_.url(), token_, std::move(handlers));
}

void Runner::Impl::watch_lease() {
  lease_timer_.expires_after(kLeaseInterval);
  lease_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    auto self = weak.lock();
    if (error || !self || self->stopped_) return;
    self->executor_.host_is_silent(self->lease_.silence());
    self->watch_lease();
  });
}

void Runner::Impl::stop() {
  if (std::exchange(stopped_, true)) return;
  lease_timer_.cancel();
  executor_.stop();
  snapshots_.stop();
  warmer_.stop();
  reports_.stop();
  if (link_) link_->stop();
  for (auto& weak : streams_)
    if (auto stream = weak.lock()) stream->stop();
  terminals_->stop();
  forwards_->stop();
  if (gateway_) gateway_->stop();
  doors_.stop();
}

// On the reports worker, in order; the loop keeps that order.
void Runner::Impl::deliver(std::uint64_t generation, std::string message) {
  boost::asio::post(loop_, [weak = weak_from_this(), generation, message = std::move(message)]() mutable {
    if (auto self = weak.lock()) self->link_->send(generation, std::move(message));
  });
}

// To whatever link is up; any thread.
void Runner::Impl::say(std::string message) {
  boost::asio::post(loop_, [weak = weak_from_this(), message = std::move(message)]() mutable {
    if (auto self = weak.lock()) self->link_->send(std::move(message));
  });
}

std::string Runner::Impl::hello() { return hello_text(inventory_, RIVERBOX_VERSION, executor_.unfinished()); }

// Tells the newest sample and has the next one made, so that a hanging nvidia-smi stops no heartbeat.
std::string Runner::Impl::heartbeat() {
  Sample newest;
  {
    std::lock_guard lock(sample_mutex_);
    newest = sample_;
  }
  if (!sampling_) sampling_ = sampler_.post([this] { sample(); });
  if (Clock::now() - holdings_told_ > kHoldingsInterval) {  // somebody may have pruned
    holdings_told_ = Clock::now();
    warmer_.look();
  }
  return heartbeat_text(Lease::now(), newest.load, newest.gpus, executor_.running());
}

void Runner::Impl::sample() {
  Sample fresh;
  fresh.load = load_meter_.sample();
  {
    std::lock_guard lock(sample_mutex_);
    fresh.gpus = sample_.gpus;
  }
  if (!fresh.gpus.empty()) fresh.gpus = os::gpus();  // a node without GPUs does not grow one
  {
    std::lock_guard lock(sample_mutex_);
    sample_ = std::move(fresh);
  }
  boost::asio::post(loop_, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->sampling_ = false;
  });
}

void Runner::Impl::handle(HostMessage message) {
  auto answer = [this](const std::string& request) {
    return [this, request](bool ok, const std::string& text) { say(result_text(request, ok, text)); };
  };
  std::visit(Match{
                 [&](Acknowledged& ack) { reports_.acknowledge(ack.sequence); },
                 [&](Heard& heard) { lease_.heard(heard.sent); },
                 [&](Keys& keys) { learn(std::move(keys)); },
                 [&](Dispatch& dispatch) { executor_.dispatch(std::move(dispatch.task)); },
                 [&](Kill& kill) { executor_.kill(kill.attempt); },
                 [&](Control& control) { executor_.control(control.attempt, control.pause, answer(control.request)); },
                 [&](RemoveVps& removed) { executor_.remove_vps(removed.id, answer(removed.request)); },
                 [&](SnapshotQuestion& question) { snapshot_desk_.take(std::move(question)); },
                 [&](OpenLogs& open) { follow(std::move(open)); },
                 [&](OpenTerminal& open) { terminals_->open(std::move(open)); },
                 [&](OpenForward& open) { forwards_->open(std::move(open)); },
                 [&](ListSessions& asked) { say(sessions_text(asked.request, terminals_->sessions(asked.attempt))); },
                 [&](Sync& sync) { warmer_.take(std::move(sync)); },
                 [](auto&) {},  // Welcome and Refused are the link's
             },
             message);
}

// At once, for what is dispatched next; on the disk for as long as the host is away.
void Runner::Impl::learn(Keys keys) {
  try {
    keys_->replace(std::move(keys.keys));
  } catch (const Error& error) {
    log::warning("runner", "the host's keys cannot be kept; after a restart without the host no signature is believed", {{"reason", error.fact()}});
  }
}

void Runner::Impl::follow(OpenLogs wanted) {
  if (wanted.part) return send_part(std::move(wanted));
  auto log = logs_.find(wanted.attempt);
  start_stream(std::move(log), std::move(wanted));
}

void Runner::Impl::send_part(OpenLogs wanted) {
  log_readers_.post([this, wanted = std::move(wanted)]() mutable {
    auto part = find_part(fs::absolute(config_.paths.shared_dir), *wanted.part);
    wanted.from[0] = part.from;
    boost::asio::post(loop_, [weak = weak_from_this(), part = std::move(part), wanted = std::move(wanted)]() mutable {
      if (auto self = weak.lock(); self && !self->stopped_) self->start_stream(std::move(part.log), std::move(wanted), std::move(part.head));
    });
  });
}

void Runner::Impl::start_stream(std::shared_ptr<AttemptLog> log, OpenLogs wanted, std::string head) {
  std::erase_if(streams_, [](const auto& stream) { return stream.expired(); });
  auto stream = std::make_shared<LogStream>(loop_, log_readers_, std::move(log), std::move(wanted), std::move(head));
  streams_.push_back(stream);
  stream->dial({config_.url(), token_});
}

// ---- the outside

Runner::Runner(boost::asio::io_context& loop, RunnerOptions options) : impl_(std::make_shared<Impl>(loop, std::move(options))) {}

Runner::~Runner() { impl_->stop(); }

void Runner::start() { impl_->start(); }

void Runner::stop() { impl_->stop(); }

}  // namespace riverbox::runner
