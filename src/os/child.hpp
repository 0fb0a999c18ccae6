// Children that somebody talks to while they run: over pipes, or in a pseudo terminal. They are forked, so the caller must have no other threads.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "os/fd.hpp"
#include "os/tty.hpp"

namespace riverbox::os {

struct Command {
  std::string file;               // a path, it is not searched for
  std::vector<std::string> argv;  // argv[0] may be another name
  std::vector<std::string> env;   // "NAME=value", all of it
  std::filesystem::path working_dir;
};

// Our end of a child. All of it is ours alone (close on exec), and does not block.
struct Child {
  pid_t pid = -1;
  UniqueFd in, out, err;  // without `err`: it is in `out`
};

// Of the terminal behind either end of it.
void resize_terminal(int fd, TerminalSize size, std::uint16_t width_pixels, std::uint16_t height_pixels);

class PseudoTerminal {
public:
  PseudoTerminal();
  const std::string& name() const { return name_; }  // "/dev/pts/3"
  void resize(TerminalSize size, std::uint16_t width_pixels, std::uint16_t height_pixels) const;
  int settings_fd() const { return slave_.get(); }  // for tcsetattr(3), until a command runs in it

private:
  friend Child start_command(const Command&, PseudoTerminal&);
  UniqueFd master_, slave_;
  std::string name_;
};

// What cannot be done for the command, it is told on its stderr, as a shell does, and it ends with 126 or 127.
Child start_command(const Command& command);
// The leader of a session whose terminal it is. Afterwards the terminal only has the master's end, which is in the Child.
Child start_command(const Command& command, PseudoTerminal& terminal);
// A session of its own, with our stdin, stdout and stderr.
pid_t start_beside(const Command& command);
// With our terminal and all that is ours. 127 is its status when there is no such program in $PATH.
pid_t start_program(const std::vector<std::string>& argv);
// This process becomes the program at `file`, or of that name in $PATH. Throws IoError when it cannot.
[[noreturn]] void become_program(const std::string& file, const std::vector<std::string>& argv);
// A function in a process of its own whose stdin and stdout we hold; nothing else of ours is open in it but stderr.
Child start_function(const std::function<int()>& body);
// The same without pipes; `keep` stays open in it.
pid_t start_process(const std::function<int(UniqueFd)>& body, UniqueFd keep);

// Tells when children end. SIGCHLD is blocked as long as it lives; those that are started above do not inherit that.
class ChildWatch {
public:
  ChildWatch();
  ~ChildWatch();
  ChildWatch(ChildWatch&&) = delete;
  int fd() const { return signals_.get(); }  // readable: it is worth to call ended()
  struct Ended {
    pid_t pid;
    int status;  // of wait(2)
  };
  std::vector<Ended> ended();  // whoever has, among all children of this process

private:
  UniqueFd signals_;
};

}  // namespace riverbox::os
