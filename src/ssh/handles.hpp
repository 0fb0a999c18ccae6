// libssh's objects with an owner. libssh is spoken to in this folder only.
#pragma once
#include <libssh/libssh.h>
#include <libssh/server.h>

#include <memory>
#include <string>

namespace riverbox::ssh {

struct FreeBind {
  void operator()(ssh_bind bind) const { ssh_bind_free(bind); }
};
struct FreeSession {
  void operator()(ssh_session session) const { ssh_free(session); }
};
struct FreeKey {
  void operator()(ssh_key key) const { ssh_key_free(key); }
};
struct FreeEvent {
  void operator()(ssh_event event) const { ssh_event_free(event); }
};
struct FreeText {
  void operator()(char* text) const { ssh_string_free_char(text); }
};
using Bind = std::unique_ptr<ssh_bind_struct, FreeBind>;
using Session = std::unique_ptr<ssh_session_struct, FreeSession>;
using Key = std::unique_ptr<ssh_key_struct, FreeKey>;
using Event = std::unique_ptr<ssh_event_struct, FreeEvent>;
using Text = std::unique_ptr<char, FreeText>;

}  // namespace riverbox::ssh
