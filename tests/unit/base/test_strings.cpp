#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/strings.hpp"

using namespace riverbox;

TEST_CASE("split and join keep empty parts and lose nothing") {
  CHECK(split("", ',').empty());
  CHECK(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(split("a,", ',') == std::vector<std::string>{"a", ""});
  CHECK(join(split("a,,b", ','), ",") == "a,,b");
  CHECK(trim(" \t a b \r\n") == "a b");
  CHECK(trim(" \n ").empty());
}

TEST_CASE("nearest finds typing errors and refuses other words") {
  const std::vector<std::string> commands{"create", "delete", "list", "create-tar"};
  CHECK(nearest("craete", commands) == "create");
  CHECK(nearest("DELETE", commands) == "delete");
  CHECK(nearest("lst", commands) == "list");
  CHECK_FALSE(nearest("zzz", commands));
  CHECK_FALSE(nearest("", commands));
  CHECK_FALSE(nearest("x", {}));
  CHECK_FALSE(nearest("a", {"b"}));
}

// fault: escape-sequences
TEST_CASE("printable leaves text alone and disarms what a terminal would obey") {
  CHECK(printable("größe 日本 🙂") == "größe 日本 🙂");
  CHECK(printable("\x1b]52;c;QQ==\x07") == "\\x1b]52;c;QQ==\\x07");
  CHECK(printable("a\nb\r\tc") == "a\\x0ab\\x0d\\x09c");
  CHECK(printable("\xc2\x9b" "31m") == "\\xc2\\x9b31m");                    // CSI as one C1 character
  CHECK(printable("a\xe2\x80\xae" "b") == "a\\xe2\\x80\\xae" "b");          // right-to-left override
  CHECK(printable("\xff\xc0\xaf") == "\\xff\\xc0\\xaf");                    // invalid and overlong
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");                    // a surrogate
  CHECK(printable(std::string_view("a\0b", 3)) == "a\\x00b");
  CHECK(printable("aaaaaaaaaa", 4) == "aaaa...");
  CHECK(printable("aaa日本", 5) == "aaa...");  // never cuts inside a character
}

TEST_CASE("shell_quoted quotes only what needs it") {
  CHECK(shell_quoted("a/b-c.d") == "a/b-c.d");
  CHECK(shell_quoted("") == "''");
  CHECK(shell_quoted("a b") == "'a b'");
  CHECK(shell_quoted("it's") == "'it'\\''s'");
  CHECK(shell_quoted("$(x)") == "'$(x)'");
}

TEST_CASE("complete_utf8_prefix holds back an unfinished character and nothing else") {
  const std::string smile = "🙂";
  for (size_t cut = 1; cut < smile.size(); ++cut) CHECK(complete_utf8_prefix("ab" + smile.substr(0, cut)) == 2);
  CHECK(complete_utf8_prefix("ab" + smile) == 6);
  CHECK(complete_utf8_prefix("") == 0);
  CHECK(complete_utf8_prefix("ab\xff") == 3);
  CHECK(complete_utf8_prefix("\x80\x80\x80\x80") == 4);
  CHECK(complete_utf8_prefix("a\xe0\x80") == 3);  // can never become valid
}

TEST_CASE("any split of valid text through complete_utf8_prefix gives the text back") {
  const std::string text = "aé日🙂z";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const size_t complete = complete_utf8_prefix(text.substr(0, cut));
    CHECK(cut - complete <= 3);
    CHECK(valid_utf8(text.substr(0, complete)) + valid_utf8(text.substr(complete)) == text);
  }
  CHECK(valid_utf8("a\xff" "b\xe6\x97") == "a\xEF\xBF\xBD" "b\xEF\xBF\xBD");
}

TEST_CASE("human_bytes rounds into the next unit") {
  CHECK(human_bytes(17) == "17 B");
  CHECK(human_bytes(12'000) == "12.0 kB");
  CHECK(human_bytes(999'999) == "1.0 MB");
  CHECK(human_bytes(1'400'000'000) == "1.4 GB");
  CHECK(human_bytes(~0ull) == "18.4 EB");
}

TEST_CASE("parse_bytes reads the units of HakuRiver and binary ones") {
  CHECK(parse_bytes("1000") == 1000);
  CHECK(parse_bytes("0") == 0);
  CHECK(parse_bytes("4G") == 4'000'000'000ull);
  CHECK(parse_bytes("512m") == 512'000'000ull);
  CHECK(parse_bytes("4GB") == 4'000'000'000ull);
  CHECK(parse_bytes("1.5GiB") == 1'610'612'736ull);
  CHECK(parse_bytes(" 2 TiB ") == 2'199'023'255'552ull);
  CHECK(parse_bytes("1.1K") == 1100);
  CHECK(parse_bytes("7b") == 7);
}

// fault: amounts-odd
TEST_CASE("parse_bytes refuses what is no size") {
  for (const char* text : {"", "-1", "NaN", "inf", "G", "1X", "1GG", "1..5G", ".5G", "5.G", "1.5", "99999999999G", "0x10", "1e3", "1 2", "1,5G", "+1"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_bytes(text), InvalidInput);
  }
}

TEST_CASE("numbers are read whole or not at all") {
  CHECK(parse_u64("18446744073709551615") == ~0ull);
  CHECK_FALSE(parse_u64("18446744073709551616"));
  CHECK_FALSE(parse_u64("-1"));
  CHECK_FALSE(parse_u64("1 "));
  CHECK_FALSE(parse_u64(""));
  CHECK(parse_i64("-5") == -5);
  CHECK_FALSE(parse_i64("+5"));
}

TEST_CASE("percent encoding and its damaged forms") {
  CHECK(percent_encoded("a b/ü~") == "a%20b%2F%C3%BC~");
  CHECK(percent_decoded("a%20b%2fc+") == "a b/c+");
  for (const char* bad : {"%", "%2", "%zz", "a%00b"}) CHECK_FALSE(percent_decoded(bad));
}

TEST_CASE("hex, base64 and random") {
  CHECK(hex("\x01\xab") == "01ab");
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe") == "//4=");
  CHECK(random_hex(16).size() == 32);
  CHECK(random_hex(16) != random_hex(16));
}
