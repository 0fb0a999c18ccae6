#include "environment/layer_record.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.hpp"
#include "environment/tar_split.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kBatchBytes = 256u << 10;

struct Abandoned {};

}  // namespace

LayerRecord::~LayerRecord() {
  batches_.abandon();
  thread_.join();
}

LayerRecord::Entries LayerRecord::next() { return batches_.pop().value_or(Entries{}); }

void LayerRecord::run() {
  try {
    read();
    batches_.close();
  } catch (const Abandoned&) {
  } catch (...) {
    batches_.close(std::current_exception());
  }
}

void LayerRecord::read() {
  const auto add = [this](Entry entry) {
    bytes_ += entry.text.size() + sizeof entry;
    entries_.push_back(std::move(entry));
    if (bytes_ >= kBatchBytes) hand_over();
  };
  TarSplitParser parser({.bytes = [&](std::string_view bytes) { add({std::string(bytes), 0}); },
                         .file = [&](const std::string& path, std::uint64_t size_bytes) { add({path, size_bytes}); }});
  const os::UniqueFd fd = os::open_read(path_);
  std::string buffer(64u << 10, '\0');
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw IoError(fmt::format("read '{}'", path_.string()), errno);
    if (n == 0) break;
    parser.feed({buffer.data(), static_cast<size_t>(n)});
  }
  parser.finish();
  if (!entries_.empty()) hand_over();
}

void LayerRecord::hand_over() {
  bytes_ = 0;
  if (!batches_.push(std::exchange(entries_, {}))) throw Abandoned{};
}

}  // namespace riverbox::environment
