// Text helpers that more than one folder needs. All are pure and thread-safe.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace riverbox {

std::string_view trim(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);  // "a,,b" -> "a", "", "b"; "" -> {}
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string to_lower(std::string_view text);                            // ASCII only

// The candidate closest to `word` if it is close enough to be a typing error, else nullopt.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

// Text from outside made safe for a terminal or a log line: control characters, invalid UTF-8 and
// bidirectional overrides become \xNN; at most `max_bytes` bytes, then "...".
std::string printable(std::string_view text, size_t max_bytes = 400);

// One word quoted for a POSIX shell, only if it needs quotes.
std::string shell_quoted(std::string_view word);

// Length in bytes of the longest prefix of `bytes` that does not end inside a UTF-8 sequence.
// Invalid bytes count as complete, so at most 3 bytes are ever held back.
size_t complete_utf8_prefix(std::string_view bytes);
// Invalid sequences replaced by U+FFFD.
std::string valid_utf8(std::string_view bytes);

// "1.4 GB", "12.0 kB", "17 B" (powers of 1000, as docker and df -H do).
std::string human_bytes(unsigned long long bytes);
// "4G", "512M", "1.5GiB", "1000" -> bytes. K, M, G, T are decimal as in HakuRiver; KiB... are binary. Throws InvalidInput.
unsigned long long parse_bytes(std::string_view text);

// Whole string as a decimal number in range, else nullopt.
std::optional<unsigned long long> parse_u64(std::string_view text);
std::optional<long long> parse_i64(std::string_view text);

std::string percent_encoded(std::string_view text);              // RFC 3986 unreserved characters stay
std::optional<std::string> percent_decoded(std::string_view text);  // nullopt: bad escape or NUL

std::string hex(std::string_view bytes);  // in lower case
std::optional<std::string> from_hex(std::string_view digits);  // nullopt: an odd number of digits, or anything but 0-9 and a-f: one text for one value
std::string base64(std::string_view bytes);
std::optional<std::string> base64_decoded(std::string_view text);  // padding may be missing; nullopt: another character

// `words` random bits from the kernel as lower-case hex. Throws IoError.
std::string random_hex(size_t bytes);

}  // namespace riverbox
