#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.hpp"
#include "environment/version_diff.hpp"
#include "image_builder.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using testing::gzip;
using testing::Image;
using testing::TarBuilder;
using testing::TemporaryFolder;

namespace {

// Two images as archives, and what differs between them.
struct Pair {
  std::vector<std::string> a, b;
  bool compressed = false, oci = false;
  DiffOptions options;

  VersionDiff diff() const {
    TemporaryFolder folder;
    Image one, two;
    one.layers = a;
    two.layers = b;
    one.compressed = two.compressed = compressed;
    one.oci = two.oci = oci;
    return diff_archives(folder.write("a.tar", one.save()), folder.write("b.tar", two.save()), options, {});
  }
};

// "+/x 3" "-/y 2" "~/z 1>2 size,time" "=/t" "?/w"
std::vector<std::string> files_of(const VersionDiff& diff) {
  std::vector<std::string> out;
  for (const FileChange& file : diff.files) {
    const auto size = [](const std::optional<std::uint64_t>& bytes) { return bytes ? std::to_string(*bytes) : std::string("-"); };
    std::string differs;
    for (const auto word : file.differs) differs += (differs.empty() ? " " : ",") + std::string(word);
    switch (file.change) {
      case Change::added: out.push_back("+" + file.path + " " + size(file.b_bytes)); break;
      case Change::removed: out.push_back("-" + file.path + " " + size(file.a_bytes)); break;
      case Change::changed: out.push_back("~" + file.path + " " + size(file.a_bytes) + ">" + size(file.b_bytes) + differs); break;
      case Change::touched: out.push_back("=" + file.path); break;
      case Change::written: out.push_back("?" + file.path); break;
    }
  }
  return out;
}

std::vector<std::string> packages_of(const VersionDiff& diff, PackageManager manager) {
  std::vector<std::string> out;
  const auto it = diff.packages.find(manager);
  if (it != diff.packages.end())
    for (const PackageChange& p : it->second) out.push_back(p.name + " " + p.from + ">" + p.to);
  return out;
}

using Lines = std::vector<std::string>;
const std::string kBase = TarBuilder().add("etc", "", '5').add("etc/a", "aaa").add("etc/b", "bb").add("bin", "", '5').add("bin/tool", "12345").finish();

}  // namespace

TEST_CASE("layers: shared is what lies on the same layers in both") {
  const std::string x = TarBuilder().add("x", "1").finish(), y = TarBuilder().add("y", "22").finish(), z = TarBuilder().add("z", "333").finish();
  const auto diff = Pair{{kBase, x, y}, {kBase, z, y}}.diff();
  REQUIRE(diff.shared.size() == 1);
  CHECK(diff.shared[0].size_bytes == kBase.size());
  CHECK(diff.only_a.size() == 2);
  CHECK(diff.only_b.size() == 2);
  CHECK(files_of(diff) == Lines{"-/x 1", "+/z 3"});  // y is the same file in both
  CHECK(diff.notes.empty());
}

TEST_CASE("the same version twice differs in nothing") {
  const auto diff = Pair{{kBase}, {kBase}}.diff();
  CHECK(diff.files.empty());
  CHECK(diff.only_a.empty());
  CHECK(diff.packages.empty());
}

TEST_CASE("added, changed, removed, touched") {
  const std::string change = TarBuilder().add("etc", "", '5').add("etc/a", "a").add("etc/b", "bb").add("etc/new", "new!").add("bin", "", '5').add("bin/.wh.tool", "").finish();
  for (const bool compressed : {false, true}) {
    for (const bool oci : {false, true}) {
      Pair pair{{kBase}, {kBase, change}};
      pair.compressed = compressed;
      pair.oci = oci;
      const auto diff = pair.diff();
      CHECK(files_of(diff) == Lines{"-/bin/tool 5", "~/etc/a 3>1 size", "=/etc/b", "+/etc/new 4"});
      CHECK(diff.totals.at(Change::added).bytes == 4);
      CHECK(diff.totals.at(Change::removed).bytes == 5);
      CHECK(diff.notes.empty());
      std::swap(pair.a, pair.b);
      CHECK(files_of(pair.diff()) == Lines{"+/bin/tool 5", "~/etc/a 1>3 size", "=/etc/b", "-/etc/new 4"});
    }
  }
}

TEST_CASE("a file that came and went is no difference") {
  const std::string came = TarBuilder().add("tmp/x", "x").finish(), went = TarBuilder().add("tmp/.wh.x", "").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, came, went}}.diff()).empty());
}

TEST_CASE("a file that went and came again is compared with what it was") {
  const std::string went = TarBuilder().add("etc/.wh.a", "").finish(), came = TarBuilder().add("etc/a", "other").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, went, came}}.diff()) == Lines{"~/etc/a 3>5 size"});
}

TEST_CASE("a removed folder takes along what layers put into it, not what comes later") {
  const std::string first = TarBuilder().add("opt", "", '5').add("opt/x", "1").add("opt/y", "2").finish();
  const std::string second = TarBuilder().add(".wh.opt", "").finish();
  const std::string third = TarBuilder().add("opt", "", '5').add("opt/y", "333").finish();
  CHECK(files_of(Pair{{kBase, first}, {kBase, first, second}}.diff()) == Lines{"-/opt -"});
  CHECK(files_of(Pair{{kBase}, {kBase, first, second, third}}.diff()) == Lines{"+/opt -", "+/opt/y 3"});
}

TEST_CASE("opaque folders hide what is below and nothing of their own layer, wherever the mark stands") {
  const std::string first = TarBuilder().add("opt", "", '5').add("opt/x", "1").add("opt/y", "2").finish();
  const std::string mark_first = TarBuilder().add("opt", "", '5').add("opt/.wh..wh..opq", "").add("opt/y", "22").finish();
  const std::string mark_last = TarBuilder().add("opt", "", '5').add("opt/y", "22").add("opt/.wh..wh..opq", "").finish();
  for (const auto& change : {mark_first, mark_last}) {
    // x is in a layer that only A sees through
    CHECK(files_of(Pair{{first}, {first, change}}.diff()) == Lines{"~/opt ->- content", "~/opt/y 1>2 size"});
    const std::string other = TarBuilder().add("opt/x", "111").finish();
    CHECK(files_of(Pair{{first, other}, {first, change}}.diff()) == Lines{"~/opt ->- content", "-/opt/x 3", "~/opt/y 1>2 size"});
  }
}

TEST_CASE("layers below are seen through their own deletions") {
  const std::string gone = TarBuilder().add(".wh.etc", "").finish(), again = TarBuilder().add("etc", "", '5').add("etc/b", "b").finish();
  const std::string change = TarBuilder().add("etc/a", "new").add("etc/b", "newer").finish();
  CHECK(files_of(Pair{{kBase, gone, again}, {kBase, gone, again, change}}.diff()) == Lines{"+/etc/a 3", "~/etc/b 1>5 size"});
}

TEST_CASE("a folder in the place of a file, and a file in the place of a folder") {
  const std::string folder = TarBuilder().add("etc/a", "", '5').add("etc/a/in", "1").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, folder}}.diff()) == Lines{"~/etc/a 3>- type", "+/etc/a/in 1"});
  const std::string file = TarBuilder().add("etc", "file").finish();
  CHECK(files_of(Pair{{kBase, folder}, {kBase, folder, file}}.diff()) == Lines{"~/etc ->4 type"});
  const std::string back = TarBuilder().add("etc", "", '5').finish();
  const auto seen = files_of(Pair{{kBase, folder}, {kBase, file, back}}.diff());
  CHECK(std::count(seen.begin(), seen.end(), "-/etc/a/in 1") == 1);
  CHECK(std::count(seen.begin(), seen.end(), "-/etc/a -") == 1);
}

TEST_CASE("a renamed file is one less and one more") {
  const std::string renamed = TarBuilder().add("etc/.wh.a", "").add("etc/z", "aaa").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, renamed}}.diff()) == Lines{"-/etc/a 3", "+/etc/z 3"});
}

TEST_CASE("hard links are files with the size of what they name, whichever comes first") {
  const std::string xy = TarBuilder().add("x", "1234").add("y", "", '1', "x").finish();
  const std::string yx = TarBuilder().add("y", "1234").add("x", "", '1', "y").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, xy}}.diff()) == Lines{"+/x 4", "+/y 4"});
  CHECK(files_of(Pair{{kBase, xy}, {kBase, yx}}.diff()) == Lines{"=/x", "=/y"});
  const std::string elsewhere = TarBuilder().add("z", "", '1', "etc/a").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, elsewhere}}.diff()) == Lines{"+/z -"});
}

TEST_CASE("symlinks differ by their target") {
  const std::string one = TarBuilder().add("l", "", '2', "/etc/a").finish(), two = TarBuilder().add("l", "", '2', "../../etc/b").finish();
  CHECK(files_of(Pair{{one}, {two}}.diff()) == Lines{"~/l ->- target"});
  CHECK(files_of(Pair{{one}, {one, TarBuilder().add("l", "text").finish()}}.diff()) == Lines{"~/l ->4 type"});
}

TEST_CASE("devices, FIFOs and what only AUFS had a use for") {
  const std::string odd = TarBuilder().add("null", "", '3').add("disk", "", '4').add("pipe", "", '6').add(".wh..wh.plnk", "", '5').add(".wh..wh.aufs", "").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, odd}}.diff()) == Lines{"+/disk -", "+/null -", "+/pipe -"});
}

TEST_CASE("names with a slash in front, dots, long ones, pax ones") {
  const std::string long_name = std::string(200, 'n');
  const std::string odd = TarBuilder().add("/etc//./b", "bbb").long_name("etc/" + long_name).add("x", "1").pax(TarBuilder::record("path", "etc/p\xc3\xa9")).add("y", "2").finish();
  CHECK(files_of(Pair{{kBase}, {kBase, odd}}.diff()) == Lines{"~/etc/b 2>3 size", "+/etc/" + long_name + " 1", "+/etc/p\xc3\xa9 1"});
}

TEST_CASE("a layer without an end mark, and one that is empty") {
  CHECK(files_of(Pair{{kBase}, {kBase, TarBuilder().add("x", "1").open_end()}}.diff()) == Lines{"+/x 1"});
  CHECK(Pair{{kBase}, {kBase, TarBuilder().finish()}}.diff().files.empty());
}

TEST_CASE("hostile layers become a note, and the rest is compared") {
  const std::string good = TarBuilder().add("x", "1").finish();
  const std::string huge = TarBuilder().add_with_size("a", "", "77777777777").finish();
  std::string wrong_sum = TarBuilder().add("a", "1").finish();
  wrong_sum[0] = 'b';
  const struct { std::string layer, reason; } cases[] = {
      {TarBuilder().add("../a", "1").finish(), "leads out"},
      {TarBuilder().add("a/../../b", "1").finish(), "leads out"},
      {TarBuilder().add("a", "", '1', "../../etc/passwd").finish(), "leads out"},
      {huge, "truncated"},
      {wrong_sum, "checksum"},
      {std::string(700, 'x'), "checksum"},
      {std::string(100, 'x'), "header"},
      {TarBuilder().add("etc/.wh...", "").finish(), "deletes nothing"},
      {TarBuilder().add("etc/.wh.", "").finish(), "deletes nothing"},
      {TarBuilder().long_name("x").finish(), "long name"},
      {TarBuilder().add("a", "", 'S').finish(), "unknown type"},
      {TarBuilder().long_name(std::string(5000, 'n')).add("a", "").finish(), "5000 bytes"},
      {std::string("\x28\xb5\x2f\xfd not really", 15), "zstd"},
      {gzip(good).substr(0, 40), "gzip"},
      {std::string("\x1f\x8b rubbish"), "gzip"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.reason);
    const auto diff = Pair{{kBase}, {kBase, one.layer, good}}.diff();
    REQUIRE(diff.notes.size() == 1);
    CHECK(diff.notes[0].find(one.reason) != std::string::npos);
    const auto files = files_of(diff);
    CHECK(std::count(files.begin(), files.end(), "+/x 1") == 1);
  }
}

TEST_CASE("when a layer below cannot be read it is not known what was there before") {
  const std::string change = TarBuilder().add("x", "1").add("etc", "", '5').add(".wh.gone", "").finish();
  const auto diff = Pair{{std::string(700, 'x')}, {std::string(700, 'x'), change}}.diff();
  CHECK(diff.notes.size() == 1);
  CHECK(files_of(diff) == Lines{"-/gone -", "?/x"});
  Pair hurried{{kBase}, {kBase, change}};
  hurried.options.look_below = std::chrono::milliseconds(0);
  CHECK(files_of(hurried.diff()) == Lines{"-/gone -", "?/x"});
}

TEST_CASE("paths beyond the limit are counted, and those within it stay right") {
  TarBuilder many, fewer;
  for (int i = 100; i < 200; ++i) many.add(fmt::format("f{}", i), "x");
  for (int i = 100; i < 200; ++i) fewer.add(fmt::format("f{}", i), "xy");
  Pair pair{{many.finish()}, {fewer.finish()}};
  pair.options.max_paths = 60;
  pair.options.max_files = 10;
  const auto diff = pair.diff();
  CHECK(diff.files.size() == 10);
  CHECK(diff.totals.at(Change::changed).files == 60);
  REQUIRE(diff.notes.size() == 1);
  CHECK(diff.notes[0].find("80 entries") != std::string::npos);
}

TEST_CASE("cancelled") {
  TemporaryFolder folder;
  Image one, two;
  one.layers = {kBase};
  two.layers = {kBase, TarBuilder().add("x", "1").finish()};
  CancelToken cancel;
  cancel.cancel();
  CHECK_THROWS_AS(diff_archives(folder.write("a.tar", one.save()), folder.write("b.tar", two.save()), {}, cancel), Cancelled);
}

TEST_CASE("dpkg: added, removed, upgraded; only what is installed") {
  const auto status = [](const std::string& text) { return TarBuilder().add("var/lib/dpkg/status", text).finish(); };
  const auto entry = [](const char* name, const char* version, const char* state = "install ok installed") {
    return fmt::format("Package: {}\nStatus: {}\nPriority: optional\nArchitecture: amd64\nVersion: {}\nDescription: x\n Package: not-this\n\n", name, state, version);
  };
  const std::string before = status(entry("bash", "5.2-1") + entry("less", "590") + entry("old", "1", "deinstall ok config-files"));
  const std::string after = status(entry("bash", "5.2-2") + entry("cowsay", "3.03") + entry("old", "1", "deinstall ok config-files"));
  for (const bool compressed : {false, true}) {
    Pair pair{{kBase, before}, {kBase, before, after}};  // the former list is in a layer that both have
    pair.compressed = compressed;
    CHECK(packages_of(pair.diff(), PackageManager::dpkg) == Lines{"bash 5.2-1>5.2-2", "cowsay >3.03", "less 590>"});
  }
  CHECK(packages_of(Pair{{kBase}, {kBase, before}}.diff(), PackageManager::dpkg) == Lines{"bash >5.2-1", "less >590"});
  Pair hurried{{kBase, before}, {kBase, before, after}};
  hurried.options.look_below = std::chrono::milliseconds(0);
  const auto diff = hurried.diff();
  CHECK(diff.packages.empty());
  CHECK(diff.notes.size() == 2);
}

TEST_CASE("apk") {
  const auto db = [](const std::string& text) { return TarBuilder().add("lib/apk/db/installed", text).finish(); };
  const std::string before = db("C:Q1abc\nP:musl\nV:1.2.4-r2\nA:x86_64\n\nP:zlib\nV:1.3-r0\n\n"), after = db("P:musl\nV:1.2.5-r0\nF:lib\nR:x\n\nP:zlib\nV:1.3-r0\n");
  CHECK(packages_of(Pair{{before}, {before, after}}.diff(), PackageManager::apk) == Lines{"musl 1.2.4-r2>1.2.5-r0"});
}

TEST_CASE("pip: an upgrade is one folder less and one more") {
  const std::string site = "usr/lib/python3/dist-packages/";
  const auto installed = [&](const char* folder, const char* metadata) { return TarBuilder().add(site + folder + "/METADATA", metadata).finish(); };
  const std::string before = installed("PyYAML-5.4.dist-info", "Metadata-Version: 2.1\nName: PyYAML\nVersion: 5.4\n\nVersion: 9\n");
  const std::string up = TarBuilder().add(site + ".wh.PyYAML-5.4.dist-info", "").add(site + "pyyaml-6.0.dist-info/METADATA", "Name: PyYAML\nVersion: 6.0\n\nlong text").finish();
  const std::string plain = installed("zope.event-5.0.dist-info", "nothing of use");
  CHECK(packages_of(Pair{{kBase, before}, {kBase, before, up}}.diff(), PackageManager::pip) == Lines{"PyYAML 5.4>6.0"});
  CHECK(packages_of(Pair{{kBase}, {kBase, plain}}.diff(), PackageManager::pip) == Lines{"zope.event >5.0"});
  const std::string gone = TarBuilder().add(site + ".wh.PyYAML-5.4.dist-info", "").finish();
  const auto diff = Pair{{kBase, before}, {kBase, before, gone}}.diff();
  CHECK(packages_of(diff, PackageManager::pip) == Lines{"PyYAML 5.4>"});
  CHECK(diff.packages.at(PackageManager::pip)[0].where == "/usr/lib/python3/dist-packages");
}

TEST_CASE("what package files say is only text") {
  CHECK(parse_dpkg_status("").empty());
  CHECK(parse_dpkg_status("Package: a\nPackage: b").empty());
  CHECK(parse_apk_installed("P:\nV:1\n\n\n\nV:2").empty());
  CHECK(parse_dpkg_status("Package: " + std::string(5000, 'x') + "\nStatus: install ok installed\n").begin()->first.size() == 300);
  CHECK(!parse_pip_metadata("x/nodash.dist-info/METADATA", ""));
  CHECK(!parse_pip_metadata("-.dist-info/METADATA", ""));
  CHECK(parse_pip_metadata("a-1.dist-info/METADATA", "")->second == "1");
}
