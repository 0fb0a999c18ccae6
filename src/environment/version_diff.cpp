#include "environment/version_diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "environment/path_table.hpp"

namespace riverbox::environment {
namespace {

using State = PathTable::State;
using Is = PathTable::State::Is;

// The package files that were seen on the way, by stack and path; the highest layer counts.
struct Contents {
  struct One {
    int layer = -1;
    Packages packages;
  };
  std::map<std::pair<Stack, std::string>, One> files;
};

class Collector : public LayerVisitor {
public:
  Collector(PathTable& table, Contents& contents, Stack stack, int layer, const CancelToken& cancel)
      : table_(table), contents_(contents), stack_(stack), layer_(layer), cancel_(cancel) {}

  std::uint64_t entry(const LayerEntry& entry) override {
    cancel_.check("comparing two versions");
    table_.add(stack_, layer_, entry);
    if (entry.type != '0' || !table_.contains(entry.path)) return 0;
    const auto file = package_file(entry.path);
    return file ? file->wanted_bytes : 0;
  }

  void content(const LayerEntry& entry, std::string bytes) override {
    const auto file = package_file(entry.path);
    // Half a database would make packages disappear.
    if (!file || (file->manager != PackageManager::pip && bytes.size() < entry.size_bytes)) return;
    Contents::One& one = contents_.files[{stack_, entry.path}];
    if (layer_ < one.layer) return;
    one = {layer_, {}};
    switch (file->manager) {
      case PackageManager::dpkg: one.packages = parse_dpkg_status(bytes); break;
      case PackageManager::apk: one.packages = parse_apk_installed(bytes); break;
      case PackageManager::pip:
        if (auto package = parse_pip_metadata(entry.path, bytes)) one.packages.insert(std::move(*package));
        break;
    }
  }

  void whiteout(const std::string& path) override {
    cancel_.check("comparing two versions");
    table_.remove(stack_, layer_, path);
    if (path.ends_with(".dist-info")) table_.remove(stack_, layer_, path + "/METADATA");  // by its name the package is known
  }

  void opaque(const std::string& directory) override { table_.hide_below(stack_, layer_, directory); }

private:
  PathTable& table_;
  Contents& contents_;
  Stack stack_;
  int layer_;
  const CancelToken& cancel_;
};

struct OpenVersion {
  explicit OpenVersion(const os::Place& place) : tar(place.path()), fd(open_archive_file(place)), archive(read_archive(fd.get(), tar)) {}
  std::filesystem::path tar;
  os::UniqueFd fd;  // stays readable when the version is pruned meanwhile
  Archive archive;
};

class Comparison {
public:
  Comparison(const os::Place& a, const os::Place& b, const DiffOptions& options, const CancelToken& cancel)
      : a_(a), b_(b), options_(options), cancel_(cancel), common_(common_layers(a_.archive, b_.archive)), table_(options.max_paths) {}

  VersionDiff run() {
    list_layers();
    collect(a_, kOnlyA);
    collect(b_, kOnlyB);
    table_.close();
    look_below();
    if (table_.left_out() > 0) {
      diff_.notes.push_back(fmt::format("{} entries of the layers are beyond the limit of {} paths and are not compared",
                                        table_.left_out(), options_.max_paths));
    }
    table_.for_each_touched([&](const std::string& path) { compare(path); });
    compare_databases();
    compare_pip();
    return std::move(diff_);
  }

private:
  void list_layers() {
    const auto fact = [](const Layer& layer) { return LayerFact{layer.diff_id, layer.size_bytes}; };
    const auto& a = a_.archive.layers;
    const auto& b = b_.archive.layers;
    std::transform(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(common_), std::back_inserter(diff_.shared), fact);
    std::transform(a.begin() + static_cast<std::ptrdiff_t>(common_), a.end(), std::back_inserter(diff_.only_a), fact);
    std::transform(b.begin() + static_cast<std::ptrdiff_t>(common_), b.end(), std::back_inserter(diff_.only_b), fact);
  }

  void note_unreadable(const Layer& layer, const Error& error) {
    diff_.notes.push_back(fmt::format("layer {} cannot be read: {}", layer.diff_id.substr(7, 12), error.fact()));
  }

  void collect(const OpenVersion& version, Stack stack) {
    for (size_t i = common_; i < version.archive.layers.size(); ++i) {
      const Layer& layer = version.archive.layers[i];
      Collector collector(table_, contents_, stack, static_cast<int>(i), cancel_);
      try {
        read_layer(version.fd.get(), version.tar, layer, collector, cancel_);
      } catch (const BadData& error) {
        note_unreadable(layer, error);
      }
    }
  }

  bool unknown(const std::string& path) const {
    const auto lower = [&](Stack stack) { return table_.state(stack, path).is == Is::untouched; };
    return (lower(kOnlyA) || lower(kOnlyB)) && lower(kShared);
  }

  // The layers that both have, from the top, until it is known of every path what it was before.
  void look_below() {
    std::vector<std::string> open;
    table_.for_each_touched([&](const std::string& path) {
      if (unknown(path)) open.push_back(path);
    });
    // Where both have the same layer in two forms, the one that need not be inflated.
    CancelToken in_time;
    in_time.set_deadline(CancelToken::Clock::now() + options_.look_below);
    for (size_t i = common_; i-- > 0 && !open.empty();) {
      const OpenVersion& version = a_.archive.layers[i].compressed ? b_ : a_;
      const Layer& layer = version.archive.layers[i];
      Collector collector(table_, contents_, kShared, static_cast<int>(i), cancel_);
      try {
        read_layer(version.fd.get(), version.tar, layer, collector, in_time);
      } catch (const BadData& error) {
        note_unreadable(layer, error);
        all_known_ = false;
      } catch (const Timeout&) {
        cancel_.check("comparing two versions");
        diff_.notes.emplace_back("looking for former files in the layers below took too long: for some it is not known whether they were there");
        all_known_ = false;
      }
      if (!all_known_) return;
      constexpr size_t kWorthChecking = 5000;  // with more open paths it costs more than it saves
      if (open.size() <= kWorthChecking) std::erase_if(open, [&](const std::string& path) { return !unknown(path); });
    }
  }

  struct Side {
    State state;  // `untouched`: not known
    Stack stack = kOnlyA;
  };
  Side side(Stack stack, const std::string& path) const {
    if (State own = table_.state(stack, path); own.is != Is::untouched) return {own, stack};
    State below = table_.state(kShared, path);
    if (below.is == Is::untouched && all_known_) below.is = Is::absent;
    return {below, kShared};
  }

  // The same layer is the same file, wherever in the two chains it stands.
  bool same_origin(const Side& a, const Side& b) const {
    return a_.archive.layers[static_cast<size_t>(a.state.layer)].diff_id == b_.archive.layers[static_cast<size_t>(b.state.layer)].diff_id;
  }

  static std::optional<std::uint64_t> size_of(const Side& side) {
    if (side.state.is != Is::present || side.state.facts->type != '0') return std::nullopt;
    return side.state.facts->size_bytes;
  }

  static std::vector<std::string_view> differences(const State& a, const State& b) {
    const PathFacts &x = *a.facts, &y = *b.facts;
    std::vector<std::string_view> out;
    if (x.type != y.type) out.emplace_back("type");
    if (x.type == '0' && y.type == '0' && x.size_bytes && y.size_bytes && x.size_bytes != y.size_bytes) out.emplace_back("size");
    if (x.type == y.type && x.type != '0' && x.target != y.target) out.emplace_back("target");
    if (x.mode != y.mode && x.type != '2') out.emplace_back("mode");
    if (x.uid != y.uid || x.gid != y.gid) out.emplace_back("owner");
    // The time of a folder says only that something in it changed, which is listed itself.
    if (x.modified != y.modified && y.type != '5') out.emplace_back("time");
    if (x.type == '5' && y.type == '5' && a.emptied != b.emptied) out.emplace_back("content");
    return out;
  }

  void compare(const std::string& path) {
    const Side a = side(kOnlyA, path), b = side(kOnlyB, path);
    if (a.state.is == Is::absent && b.state.is == Is::absent) return;
    FileChange file{.path = "/" + path, .a_bytes = size_of(a), .b_bytes = size_of(b)};
    if (const PathFacts* facts = b.state.facts ? b.state.facts : a.state.facts) file.type = facts->type;
    if (b.state.is == Is::absent) {
      file.change = Change::removed;
    } else if (a.state.is == Is::absent) {
      file.change = Change::added;
    } else if (a.state.is == Is::untouched || b.state.is == Is::untouched) {
      if (file.type == '5') return;  // every layer repeats the folders of what it has
      file.change = Change::written;
    } else {
      if (same_origin(a, b)) return;
      file.differs = differences(a.state, b.state);
      if (file.differs.empty() && file.type == '5') return;
      file.change = file.differs.empty() ? Change::touched : Change::changed;
    }
    VersionDiff::Total& total = diff_.totals[file.change];
    ++total.files;
    total.bytes += (file.change == Change::removed ? file.a_bytes : file.b_bytes).value_or(0);
    if (diff_.files.size() < options_.max_files) diff_.files.push_back(std::move(file));
  }

  // What a package file says on one side. nullopt: not known.
  std::optional<Packages> packages_in(const Side& side, const std::string& path) const {
    if (side.state.is == Is::absent) return Packages{};
    const auto it = contents_.files.find({side.stack, path});
    if (side.state.is == Is::untouched || it == contents_.files.end() || it->second.layer != side.state.layer) return std::nullopt;
    return it->second.packages;
  }

  void compare_databases() {
    for (const char* path : {"var/lib/dpkg/status", "lib/apk/db/installed", "usr/lib/apk/db/installed"}) {
      if (!table_.contains(path)) continue;
      const Side a = side(kOnlyA, path), b = side(kOnlyB, path);
      const PackageManager manager = package_file(path)->manager;
      if (a.state.is == Is::absent && b.state.is == Is::absent) continue;
      if (a.state.is == Is::present && b.state.is == Is::present && same_origin(a, b)) continue;
      const auto before = packages_in(a, path), after = packages_in(b, path);
      if (!before || !after) {
        diff_.notes.push_back(fmt::format("the packages of {} are not compared: /{} cannot be read in both versions", to_string(manager), path));
        continue;
      }
      auto& changes = diff_.packages[manager];
      for (const auto& [name, version] : *before) {
        const auto now = after->find(name);
        if (now == after->end()) changes.push_back({name, version, "", ""});
        else if (now->second != version) changes.push_back({name, version, now->second, ""});
      }
      for (const auto& [name, version] : *after)
        if (!before->contains(name)) changes.push_back({name, "", version, ""});
      std::stable_sort(changes.begin(), changes.end(), [](const auto& x, const auto& y) { return x.name < y.name; });
    }
  }

  // A package is a folder with its version in the name: an upgrade is one folder less and one more.
  void compare_pip() {
    struct Installed {
      std::string name;
      std::array<std::string, 2> version;
    };
    std::map<std::pair<std::string, std::string>, Installed> found;  // by place and comparable name
    table_.for_each_touched([&](const std::string& path) {
      const auto file = package_file(path);
      if (!file || file->manager != PackageManager::pip) return;
      for (const Stack stack : {kOnlyA, kOnlyB}) {
        const Side where = side(stack, path);
        if (where.state.is != Is::present) continue;
        const auto packages = packages_in(where, path);
        std::optional<std::pair<std::string, std::string>> package;
        if (packages && !packages->empty()) package = *packages->begin();
        else package = parse_pip_metadata(path, {});
        if (!package) continue;
        const std::string folder = path.substr(0, path.rfind('/')), place = folder.substr(0, std::min(folder.rfind('/'), folder.size()));
        std::string comparable = to_lower(package->first);
        std::replace_if(comparable.begin(), comparable.end(), [](char c) { return c == '_' || c == '.'; }, '-');
        Installed& installed = found[{place, comparable}];
        installed.name = package->first;
        installed.version[stack] = package->second;
      }
    });
    for (const auto& [key, installed] : found)
      if (installed.version[kOnlyA] != installed.version[kOnlyB])
        diff_.packages[PackageManager::pip].push_back({installed.name, installed.version[kOnlyA], installed.version[kOnlyB], "/" + key.first});
  }

  OpenVersion a_, b_;
  const DiffOptions& options_;
  const CancelToken& cancel_;
  size_t common_;
  PathTable table_;
  Contents contents_;
  bool all_known_ = true;
  VersionDiff diff_;
};

}  // namespace

std::string_view to_string(Change change) {
  switch (change) {
    case Change::added: return "added";
    case Change::changed: return "changed";
    case Change::removed: return "removed";
    case Change::touched: return "touched";
    case Change::written: return "written";
  }
  return "";
}

size_t common_layers(const Archive& a, const Archive& b) {
  const auto& x = a.identity.diff_ids;
  const auto& y = b.identity.diff_ids;
  return static_cast<size_t>(std::mismatch(x.begin(), x.end(), y.begin(), y.end()).first - x.begin());
}

VersionDiff diff_archives(const os::Place& a, const os::Place& b, const DiffOptions& options, const CancelToken& cancel) {
  return Comparison(a, b, options, cancel).run();
}

}  // namespace riverbox::environment
