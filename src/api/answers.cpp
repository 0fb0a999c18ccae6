#include "api/answers.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kMaxBytes = 4u << 20;  // of all together

}  // namespace

void Answers::keep(const Draft& draft, const std::string& text) {
  if (text.size() > kMaxBytes) return;
  std::lock_guard lock(mutex_);
  if (const auto old = kept_.extract(draft.question)) bytes_ -= old.mapped().text.size();
  if (bytes_ + text.size() > kMaxBytes) {
    kept_.clear();
    bytes_ = 0;
  }
  kept_.emplace(draft.question, Kept{draft.revision, clock_.steady(), text});
  bytes_ += text.size();
}

std::optional<std::string> Answers::find(const std::string& question) {
  const auto revision = revision_();
  std::lock_guard lock(mutex_);
  const auto found = kept_.find(question);
  if (found == kept_.end() || found->second.revision != revision || clock_.steady() - found->second.made > max_age_) return std::nullopt;
  return found->second.text;
}

}  // namespace riverbox::api
