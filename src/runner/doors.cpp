#include "runner/doors.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/ssh_key.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::runner {

namespace {

namespace fs = std::filesystem;

// What is in `ssh` there, riverbox vps-init looks for in the container.
void place_ssh(const fs::path& door, const std::string& container, const VpsSpec& vps) {
  const fs::path folder = door / "ssh", key = folder / "host_ed25519_key";
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) fs::permissions(folder, fs::perms(0700), error);
  if (error) throw IoError("make the folder " + folder.string(), error.value());
  os::write_atomically(folder / "authorized_keys", vps.ssh_public_keys, 0644);
  if (fs::exists(key, error)) return;
  const auto made = SshKeyPair::make(container);
  os::write_atomically(folder / "dropbear_ed25519_host_key", made.dropbear, 0600);
  os::write_atomically(key, made.private_key, 0600);  // last: it says that both are there
}

}  // namespace

Doors::Doors(boost::asio::io_context& loop, fs::path folder) : loop_(loop), folder_(folder), gate_(std::make_shared<tunnel::Gate>(loop, std::move(folder))) {
  gate_->changed = [this](const std::string& container, bool connected) { changed(container, connected); };
}

void Doors::open(const std::string& container, const std::optional<VpsSpec>& vps) {
  tunnel::Gate::make_door(folder_ / container);  // what is mounted must be there before the loop comes to it
  if (vps && vps->ssh != VpsSpec::Ssh::disabled) place_ssh(folder_ / container, container, *vps);
  boost::asio::post(loop_, [weak = std::weak_ptr(gate_), container] {
    const auto gate = weak.lock();
    if (!gate) return;
    try {
      gate->add(container);
    } catch (const Error& error) {
      log::error("tunnel", "there can be no tunnel into a container", {{"container", container}, {"reason", error.what()}});
    }
  });
}

void Doors::tidy(std::string_view prefix, const std::set<std::string>& containers) const {
  std::error_code ignored;  // what stays does no harm
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder_, ignored))
    if (const std::string name = entry.path().filename(); name.starts_with(prefix) && !containers.contains(name)) left.push_back(entry.path());
  for (const auto& folder : left) fs::remove_all(folder, ignored);
}

void Doors::forget(const std::string& container) {
  boost::asio::post(loop_, [weak = std::weak_ptr(gate_), container, folder = folder_ / container] {
    if (const auto gate = weak.lock()) gate->remove(container);
    std::error_code ignored;  // what stays does no harm
    fs::remove_all(folder, ignored);
  });
}

void Doors::await_tunnel(const std::string& container, std::chrono::milliseconds time, std::function<void(bool)> done) {
  if (gate_->connected(container)) return done(true);
  const auto waiter = std::make_shared<Waiter>(Waiter{container, std::move(done), boost::asio::steady_timer(loop_, time)});
  waiters_.push_back(waiter);
  waiter->timer.async_wait([this, waiter](const boost::system::error_code& error) {
    if (error || std::exchange(waiter->over, true)) return;
    waiters_.remove(waiter);
    waiter->done(false);
  });
}

bool Doors::is_awaited(const std::string& container) const {
  return std::ranges::any_of(waiters_, [&](const auto& waiter) { return waiter->container == container; });
}

void Doors::stop() {
  gate_->close();
  for (const auto& waiter : std::exchange(waiters_, {})) {
    waiter->over = true;
    waiter->timer.cancel();
  }
}

void Doors::changed(const std::string& container, bool connected) {
  if (!connected) return;
  std::vector<std::shared_ptr<Waiter>> ready;
  for (const auto& waiter : waiters_)
    if (waiter->container == container && !std::exchange(waiter->over, true)) ready.push_back(waiter);
  for (const auto& waiter : ready) {
    waiters_.remove(waiter);
    waiter->timer.cancel();
    waiter->done(true);
  }
}

}  // namespace riverbox::runner
