#include "ssh/authorized_keys.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::ssh {

AuthorizedKeys parse_authorized_keys(std::string_view text) {
  AuthorizedKeys all;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    try {
      all.keys.push_back({SshPublicKey::parse(line), number});
    } catch (const InvalidInput& error) {
      all.ignored.push_back({number, error.fact()});
    }
  }
  return all;
}

}  // namespace riverbox::ssh
