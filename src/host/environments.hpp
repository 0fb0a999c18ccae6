// The environment containers on the host and their archives on the share. All calls block: Docker and the share may be slow.
// Only containers that carry our labels are started, stopped, deleted or packaged.
#pragma once
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/live.hpp"
#include "docker/engine.hpp"
#include "docker/naming.hpp"
#include "environment/publish.hpp"
#include "environment/share.hpp"
#include "host/version_keys.hpp"
#include "store/host_store.hpp"
#include "terminal/shell.hpp"

namespace riverbox::host {

using environment::EnvironmentName;

struct ListedContainer {
  std::string id, name;          // of the environment for ours, Docker's for foreign ones
  std::string container_name;    // Docker's
  std::string image, status_text, state;
  std::int64_t created = 0;
  bool managed = false;
  std::optional<std::uint64_t> changed_bytes = {};  // since its image, of ours; nullopt also when it was not asked for
};

// The name that users give (an environment's, or the full name of its container) and the container it means.
struct EnvironmentContainer {
  EnvironmentName name;
  docker::Container container;
};

struct StepProgress {
  std::string step;
  std::uint64_t bytes = 0, total_bytes = 0;  // total 0 = unknown
};
using StepCallback = std::function<void(const StepProgress&)>;

// What has happened to an environment, for `riverbox events`. Any thread; may block, does not throw.
using TellEvent = std::function<void(std::string_view action, const std::string& environment, const std::string& message)>;

class Environments {
public:
  // How versions are made; can change between one and the next.
  struct Packaging {
    int keep_versions = 1;
    int max_layers = 40;  // more are squashed to one by create-tar
    environment::Compression compression = environment::Compression::none;
  };
  struct Options {
    Packaging packaging;
    bool keep_image = false;                     // a runner uses this daemon too
    const VersionKeys* keys = nullptr;           // null: versions are not signed
    environment::SignatureGate signatures = {};  // for what is loaded here
    // Whether this version must not be pruned.
    std::function<bool(const EnvironmentName&, const environment::Version&)> in_use = [](const EnvironmentName&, const environment::Version&) { return false; };
    TellEvent tell = [](std::string_view, const std::string&, const std::string&) {};
  };
  Environments(docker::Engine& engine, docker::Naming naming, environment::Share share,
               store::PublicationRepository& publications, Options options);

  // `sizes`: with changed_bytes, which may take minutes.
  std::vector<ListedContainer> list(bool sizes = false);
  // Uses the image if the daemon has it, else pulls it. Throws Conflict when the environment exists.
  EnvironmentContainer create(const std::string& image, const std::string& name, const StepCallback& progress);
  EnvironmentContainer start(const std::string& name);
  EnvironmentContainer stop(const std::string& name);
  EnvironmentContainer remove(const std::string& name);
  // One at a time per environment: a second call waits for the first. `squash`: in one layer, whatever its depth. The engine may need seconds more to
  // take the container before away: only the next call for the environment waits for that.
  environment::Published create_tar(const std::string& name, bool squash, const StepCallback& progress);
  struct Rollback {
    environment::Version version;     // the new newest one
    bool was_newest = false;          // then there is no new one
    bool container = false;           // made again, too
    std::vector<std::string> pruned;
    environment::SignatureState signature = environment::SignatureState::none;  // of the older one; the new one is signed if it is valid
  };
  // Makes an older version the newest again; with `container`, the environment container too: what it held since is gone. It waits for its turn
  // as create_tar does, and on any error nothing has changed.
  Rollback roll_back(const EnvironmentName& name, const environment::Version& version, bool container, const StepCallback& progress);
  // What a runner has written to the share under a hidden name becomes the newest version, read and signed. It is gone afterwards, whatever happens. Throws NotFound, BadData
  // for one that is damaged, IoError.
  struct TakenIn {
    environment::Version version;
    std::vector<std::string> pruned = {};
  };
  TakenIn take_in(const EnvironmentName& name, const std::string& file, const StepCallback& progress);
  std::shared_ptr<const environment::Listing> archives() { return share_.list(listed_); }
  const environment::Share& share() const { return share_; }
  std::unique_ptr<terminal::Shell> open_shell(const std::string& name, const terminal::OpenRequest& request);
  // For those that begin from now on. Any thread.
  void change(Packaging packaging) { packaging_.replace(packaging); }
  // At start: undoes publishes that a crash cut short. Logs instead of throwing.
  void recover();

private:
  // Throws NotFound, or Conflict for a container that is not ours.
  EnvironmentContainer resolve(const std::string& name);
  void tell_published(std::string_view action, const EnvironmentName& name, const environment::Version& version, const std::vector<std::string>& pruned);
  void undo_interrupted(const store::PublicationRecord& publication);
  void untag_rolled_back(const EnvironmentName& name, bool runs) noexcept;
  void renew_container(const EnvironmentName& name, const environment::Version& version, const StepCallback& progress);
  std::optional<environment::Signature> sign_again(Rollback& rollback, const EnvironmentName& name, const environment::Version& version, std::int64_t number,
                                                   environment::Archive archive) const;
  class Turn;  // one create-tar or rollback of an environment at a time

  docker::Engine& engine_;
  docker::Naming naming_;
  environment::Share share_;
  environment::ListingCache listed_;
  store::PublicationRepository& publications_;
  const Options options_;
  Live<Packaging> packaging_;
  std::mutex mutex_;
  std::condition_variable turn_over_;
  std::set<EnvironmentName> publishing_;
  std::map<EnvironmentName, std::shared_future<void>> tidying_;  // what the last create-tar has left to do: the next turn waits for it
};

}  // namespace riverbox::host
