// Answers that are bytes of an open file, all of them or a range (RFC 9110, section 14).
#pragma once
#include <cstdint>
#include <filesystem>

#include "api/handlers.hpp"
#include "net/range.hpp"

namespace riverbox::api {

// The head of an answer that sends what is wished for of so many bytes: with Content-Length, for a part 206 and Content-Range.
net::Response with_range(net::Response head, const net::RangeWish& wish, std::uint64_t whole_bytes);
// A refusal (416) that tells how many there are.
net::Response nothing_at_range(net::Response refusal, std::uint64_t whole_bytes);
// Sends these bytes of the file. Blocking, as long as the reader takes. A file that ends too early, or cannot be read, cuts the connection.
void send_part_of_file(const CallPtr& call, net::Response head, int fd, const std::filesystem::path& path, std::uint64_t offset, std::uint64_t size_bytes);

}  // namespace riverbox::api
