// Any bytes as a layer: the reader refuses with BadData or says what is in it, and the comparison with another layer always ends with a result.
#include "base/error.hpp"
#include "environment/layer_reader.hpp"
#include "environment/packages.hpp"
#include "environment/path_table.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

// What every entry must be, whatever the layer says.
class Checker : public LayerVisitor {
public:
  explicit Checker(PathTable& table) : table_(table) {}
  std::uint64_t entry(const LayerEntry& entry) override {
    MUST_HOLD(is_inside(entry.path));
    MUST_HOLD(entry.type >= '0' && entry.type <= '6');
    MUST_HOLD(entry.type == '0' || entry.size_bytes == 0);
    table_.add(kOnlyB, layer_, entry);
    return entry.type == '0' ? 5000 : 0;
  }
  void content(const LayerEntry& entry, std::string bytes) override {
    MUST_HOLD(!bytes.empty() && bytes.size() <= 5000 && bytes.size() <= entry.size_bytes);
    for (const auto& [name, version] : parse_dpkg_status(bytes)) MUST_HOLD(!name.empty() && name.size() <= 700);
    for (const auto& [name, version] : parse_apk_installed(bytes)) MUST_HOLD(!name.empty());
    if (const auto package = parse_pip_metadata(entry.path, bytes)) MUST_HOLD(!package->first.empty() && !package->second.empty());
  }
  void whiteout(const std::string& path) override {
    MUST_HOLD(is_inside(path));
    table_.remove(kOnlyB, layer_, path);
  }
  void opaque(const std::string& directory) override {
    MUST_HOLD(directory.empty() || is_inside(directory));
    table_.hide_below(kOnlyB, layer_, directory);
  }
  void next_layer() { ++layer_; }

private:
  static bool is_inside(std::string_view path) {
    if (path.empty() || path.front() == '/' || path.back() == '/' || path.find('\0') != std::string_view::npos) return false;
    while (!path.empty()) {
      const std::string_view part = path.substr(0, path.find('/'));
      if (part.empty() || part == "." || part == "..") return false;
      path.remove_prefix(part.size() == path.size() ? part.size() : part.size() + 1);
    }
    return true;
  }
  PathTable& table_;
  int layer_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file({reinterpret_cast<const char*>(data), size});
  const os::UniqueFd fd = os::open_read(file.path());
  PathTable table(50);
  Checker checker(table);
  // The whole input, then its halves as two layers, so that deletions meet what they delete.
  const std::uint64_t half = size / 1024 * 512;
  for (const auto& [offset, bytes] : {std::pair<std::uint64_t, std::uint64_t>{0, size}, {0, half}, {half, size - half}}) {
    Layer layer;
    layer.offset = offset;
    layer.size_bytes = bytes;
    try {
      read_layer(fd.get(), "input", layer, checker, {});
    } catch (const BadData& error) {
      MUST_HOLD(!error.fact().empty());
    }
    checker.next_layer();
  }
  table.close();
  table.for_each_touched([&](const std::string& path) {
    const auto state = table.state(kOnlyB, path);
    MUST_HOLD(state.is != PathTable::State::Is::untouched);
    MUST_HOLD((state.facts != nullptr) == (state.is == PathTable::State::Is::present));
    MUST_HOLD(table.state(kOnlyA, path).is == PathTable::State::Is::untouched);
  });
  return 0;
}
