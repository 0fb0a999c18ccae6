#include "terminal/screen_state.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/strings.hpp"

namespace riverbox::terminal {
namespace {

constexpr size_t kLongestHeld = 4096;  // a title, a link; a picture is longer
constexpr char kEscape = '\x1b', kCancel = '\x18', kSubstitute = '\x1a', kBell = '\a', kEnquiry = '\x05', kShiftOut = '\x0e', kShiftIn = '\x0f';

// DEC private modes that outlive what set them. The alternate screen is first: what is set after it is set there.
struct Mode {
  int number;
  bool on;  // in a fresh terminal
};
constexpr Mode kModes[] = {{1049, false}, {47, false},   {1047, false}, {1, false},    {5, false},    {6, false},    {7, true},     {25, true},   {66, false},
                           {1000, false}, {1002, false}, {1003, false}, {1004, false}, {1005, false}, {1006, false}, {1015, false}, {2004, false}};
constexpr std::uint32_t kAlternate = 0b111;  // the first three

constexpr std::uint32_t fresh_modes() {
  std::uint32_t bits = 0;
  for (size_t i = 0; i < std::size(kModes); ++i) bits |= std::uint32_t{kModes[i].on} << i;
  return bits;
}

// Nothing of it begins a sequence or changes the state.
bool is_plain(char c) { return static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\r' || c == '\t' || c == '\b'; }

bool between(char c, char low, char high) { return c >= low && c <= high; }

}  // namespace

const std::uint32_t ScreenState::kFresh = fresh_modes();

bool ScreenState::alternate_screen() const { return (modes_ & kAlternate) != 0; }

void ScreenState::feed(std::string_view bytes, std::string* kept, bool questions) {
  kept_ = kept;
  questions_ = questions;
  while (!bytes.empty()) {
    if (phase_ == Phase::ground) {
      const auto plain = static_cast<size_t>(std::find_if_not(bytes.begin(), bytes.end(), is_plain) - bytes.begin());
      if (kept_) kept_->append(bytes.substr(0, plain));
      bytes.remove_prefix(plain);
      if (bytes.empty()) break;
    }
    take(bytes.front());
    bytes.remove_prefix(1);
  }
  kept_ = nullptr;
}

void ScreenState::take(char byte) {
  if (phase_ == Phase::ground && byte != kEscape) {
    if (byte == kShiftOut || byte == kShiftIn) shifted_ = byte == kShiftOut;
    if (kept_ && (byte != kEnquiry || questions_)) kept_->push_back(byte);
    return;
  }
  if (byte == kCancel || byte == kSubstitute) return held_.push_back(byte), complete();
  if (byte == kEscape && phase_ != Phase::text) {  // begins anew
    if (phase_ == Phase::text_escape) complete();
    held_.push_back(byte);
    phase_ = Phase::escape;
    return;
  }
  held_.push_back(byte);
  switch (phase_) {
    case Phase::ground: break;
    case Phase::escape:
      if (byte == '[') phase_ = Phase::control;
      else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_') phase_ = Phase::text;
      else if (between(byte, ' ', '/')) phase_ = Phase::intermediate;
      else if (between(byte, '0', '~')) escape_ends(byte);
      break;
    case Phase::intermediate:
      if (between(byte, '0', '~')) escape_ends(byte);
      break;
    case Phase::control:
      if (between(byte, '@', '~')) control_ends(byte);
      break;
    case Phase::text:
      if (byte == kEscape) phase_ = Phase::text_escape;
      else if (byte == kBell) complete();
      break;
    case Phase::text_escape: complete(); break;  // ESC \, or what a terminal takes for it
  }
  if (held_.size() <= kLongestHeld) return;
  if (kept_) kept_->append(held_);
  held_.clear();
  too_long_ = true;
}

// The sequence is over, whatever it was.
void ScreenState::complete() {
  if (kept_ && (too_long_ || questions_ || !is_question())) kept_->append(held_);
  held_.clear();
  too_long_ = false;
  phase_ = Phase::ground;
}

void ScreenState::escape_ends(char last) {
  if (held_.size() == 2 && (last == '=' || last == '>')) keypad_ = last == '=';
  if (held_.size() == 2 && last == 'c') reset();
  if (held_.size() == 3 && held_[1] == '(') graphics_ = last == '0';
  complete();
}

void ScreenState::control_ends(char last) {
  if (!too_long_ && held_.size() > 3 && held_[2] == '?' && (last == 'h' || last == 'l')) set_modes(last == 'h');
  if (held_ == "\x1b[!p") {  // a soft reset leaves the screen where it is
    const auto kept = modes_ & kAlternate;
    reset();
    modes_ |= kept;
  }
  complete();
}

void ScreenState::set_modes(bool on) {
  for (const std::string& number : split(std::string_view(held_).substr(3, held_.size() - 4), ';')) {
    const auto found = std::find_if(std::begin(kModes), std::end(kModes), [&](const Mode& mode) { return std::to_string(mode.number) == number; });
    if (found == std::end(kModes)) continue;
    const auto bit = std::uint32_t{1} << (found - std::begin(kModes));
    modes_ = on ? modes_ | bit : modes_ & ~bit;
  }
}

// Device attributes and status, modes, colours, sizes, the clipboard: xterm's "Control Sequences" lists what is answered.
bool ScreenState::is_question() const {
  const std::string_view all = held_;
  if (all == "\x1bZ") return true;
  if (all.size() < 3) return false;
  const char last = all.back();
  const auto inside = all.substr(2, all.size() - 3);
  switch (all[1]) {
    case ']': return inside.find(";?") != inside.npos;
    case 'P': return inside.starts_with("$q") || inside.starts_with("+q");
    case '[': break;
    default: return false;
  }
  if (last == 'c' || last == 'n' || last == 'x') return true;
  if (last == 'p') return inside.ends_with('$');
  if (last == 'q') return inside.starts_with('>');
  if (last == 'u' || last == 'S') return inside.starts_with('?');
  if (last == 'y') return inside.ends_with('*');
  if (last != 't') return false;
  const auto what = parse_u64(inside.substr(0, inside.find(';')));
  return what && *what >= 11 && *what <= 21;
}

void ScreenState::reset() {
  modes_ = kFresh;
  keypad_ = graphics_ = shifted_ = false;
}

ScreenState ScreenState::unknown() {
  ScreenState state;
  state.unknown_ = true;
  return state;
}

std::string ScreenState::to(const ScreenState& other) const {
  std::string out = at_rest() && !unknown_ ? "" : std::string(1, kCancel);
  for (size_t i = 0; i < std::size(kModes); ++i)
    if (const auto bit = std::uint32_t{1} << i; unknown_ || (modes_ ^ other.modes_) & bit) out += "\x1b[?" + std::to_string(kModes[i].number) + (other.modes_ & bit ? 'h' : 'l');
  if (unknown_ || keypad_ != other.keypad_) out += other.keypad_ ? "\x1b=" : "\x1b>";
  if (unknown_ || graphics_ != other.graphics_) out += other.graphics_ ? "\x1b(0" : "\x1b(B";
  if (unknown_ || shifted_ != other.shifted_) out += other.shifted_ ? kShiftOut : kShiftIn;
  return out + "\x1b[m";
}

}  // namespace riverbox::terminal
