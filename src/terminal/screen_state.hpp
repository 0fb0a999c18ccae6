// What a stream of output has done to the terminal that shows it: as much of it as another terminal needs that is shown only what comes later. Not what is on the screen: who
// joins is shown the last output, and a program that fills the screen is made to draw it anew. Pure; a reader of what programs in a container say.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace riverbox::terminal {

class ScreenState {
public:
  // What comes next. `kept` is given what a terminal is to be shown of it: whole sequences only (what has only begun waits in held()), and with `questions` false none
  // of those that a terminal answers, because an answer that nobody waits for is as good as typed.
  void feed(std::string_view bytes, std::string* kept = nullptr, bool questions = true);

  // Outside of any sequence, such as one that sets a colour.
  bool at_rest() const { return phase_ == Phase::ground; }
  // Begun and not yet complete; a long one (a picture) is not held.
  const std::string& held() const { return held_; }
  // A program has taken the whole screen, as editors do.
  bool alternate_screen() const;

  // What brings a terminal in this state into that one. Colours are as at the start.
  std::string to(const ScreenState& other) const;
  // After what nobody knows.
  static ScreenState unknown();

private:
  enum class Phase : std::uint8_t { ground, escape, intermediate, control, text, text_escape };

  void take(char byte);
  void complete();
  void escape_ends(char last);
  void control_ends(char last);
  void set_modes(bool on);
  bool is_question() const;
  void reset();

  Phase phase_ = Phase::ground;
  bool too_long_ = false;          // held_ is not all of the sequence
  std::string held_;
  std::uint32_t modes_ = kFresh;   // by their place in the table
  bool keypad_ = false, graphics_ = false, shifted_ = false;
  bool unknown_ = false;           // all of this
  std::string* kept_ = nullptr;    // while feed() runs
  bool questions_ = true;

  static const std::uint32_t kFresh;
};

}  // namespace riverbox::terminal
