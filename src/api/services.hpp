// What the handlers work with. Made by HostServer; outlives every call.
#pragma once
#include <memory>

#include <boost/asio/io_context.hpp>

#include "api/answers.hpp"
#include "api/container_walk.hpp"
#include "api/guests.hpp"
#include "api/known_archives.hpp"
#include "api/metrics.hpp"
#include "api/stream_broker.hpp"
#include "base/config.hpp"
#include "base/live.hpp"
#include "docker/engine.hpp"
#include "host/environments.hpp"
#include "host/local_users.hpp"
#include "host/nodes.hpp"
#include "host/registry.hpp"
#include "host/retention.hpp"
#include "host/snapshots.hpp"
#include "host/task_policy.hpp"
#include "host/tasks.hpp"
#include "host/tokens.hpp"
#include "host/versions.hpp"
#include "host/vpses.hpp"
#include "host/warm_up.hpp"
#include "net/failed_logins.hpp"
#include "net/security.hpp"
#include "net/tickets.hpp"
#include "os/worker_pool.hpp"
#include "store/event_repository.hpp"
#include "store/host_store.hpp"
#include "store/token_repository.hpp"

namespace riverbox::api {

// Where clients reach the host.
struct PublicAddress {
  std::string scheme = "http";
  std::uint16_t port = 0;
  std::string pin;  // "#sha256:..." of a certificate that it has made for itself
  std::string at(const std::string& name) const { return scheme + "://" + authority_of(name, port) + pin; }
};

struct Services {
  Services(boost::asio::io_context& loop, const Config& config, std::string token, bool shares_daemon_with_runner);

  boost::asio::io_context& loop;
  Live<Config> config;
  std::string token;
  PublicAddress address;  // state worker, after the start
  docker::Naming naming;
  docker::Engine engine;
  store::Database database;
  store::NodeRepository node_repository;
  store::TaskRepository task_repository;
  store::PublicationRepository publications;
  store::TokenRepository token_repository;
  store::EventRepository event_repository;
  store::VpsRepository vps_repository;
  store::VpsAssignments vps_assignments;
  host::VersionKeys version_keys;
  host::Environments environments;
  host::Versions versions;
  host::Registry registry;
  KnownArchives archives;
  host::Nodes nodes;
  host::Tasks tasks;
  host::Vpses vpses;
  host::Snapshots snapshots;
  host::Retention retention;
  host::WarmUp warm_up;
  Live<host::TaskPolicy> task_policy;
  host::Tokens tokens;
  host::LocalUsers local_users;
  net::Tickets tickets;
  net::AccessPolicy access;  // loop thread
  net::FailedLogins failed_logins;
  Guests guests;
  Guests vps_guests;  // by guest_key(): they end with the sharing
  StreamBroker broker;
  Answers answers;
  Metrics metrics;
  ContainerWalk container_walk;
  // Last, so that they are joined before what their work uses goes away.
  os::WorkerPool state{"state", 1, 100000};
  os::WorkerPool docker{"docker", 8};
  os::WorkerPool share{"share", 6};
  os::WorkerPool listing{"listing", 1};  // of the share, for those who do not wait for it: they shall not be in the way of those who do
  os::WorkerPool slow{"slow", 16};
  os::WorkerPool transfers{"transfers", 32};
  os::WorkerPool terminals{"terminals", 8};
};

// There is a new newest version: nodes that used the environment lately bring it to themselves, if that is wanted. Returns at once.
void announce_version(Services& services, const std::string& environment, const std::string& tarball);

// The answer to GET /api/nodes: as it was sent before, or made anew. State worker.
std::string nodes_text(Services& services);
inline constexpr const char* kNodesQuestion = "/api/nodes";  // under which it is kept

}  // namespace riverbox::api
