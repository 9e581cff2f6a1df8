// The decoders that read what the enclave sends, against well-formed, malformed and random bytes.
#include <gtest/gtest.h>

#include <random>

#include "client/address.h"
#include "client/messages.h"
#include "wire/cbor.h"
#include "wire/transport_error.h"

namespace tlskeep {
namespace {

Bytes FromHex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

TEST(Address, ReadsTheThreeForms) {
  const auto vsock = std::get<VsockAddress>(ParseAddress("vsock:16:9999"));
  EXPECT_EQ(vsock.cid, 16U);
  EXPECT_EQ(vsock.port, 9999U);
  EXPECT_EQ(std::get<UnixAddress>(ParseAddress("unix:/run/a:b.sock")).path, "/run/a:b.sock");
  const auto hybrid = std::get<HybridAddress>(ParseAddress("unix+vsock:/run/v:w.sock:52"));
  EXPECT_EQ(hybrid.path, "/run/v:w.sock");
  EXPECT_EQ(hybrid.port, 52U);
}

TEST(Address, RefusesAnythingElse) {
  for (const char* text :
       {"", "unix:", "vsock:", "vsock:1", "vsock:1:", "vsock::1", "vsock:-1:1", "vsock:1:1 ", "vsock:4294967296:1",
        "vsock:4294967295:1", "vsock:0x3:1", "unix+vsock:/a", "unix+vsock::1", "unix+vsock:/a:b", "tcp:1:2"}) {
    EXPECT_THROW(ParseAddress(text), TransportError) << text;
  }
  EXPECT_NO_THROW(ParseAddress("unix:" + std::string(107, 'x')));
  EXPECT_THROW(ParseAddress("unix:" + std::string(108, 'x')), TransportError);
}

TEST(Cbor, WritesTheShortestHeads) {
  CborWriter writer;
  for (const std::uint64_t value : {0ULL, 23ULL, 24ULL, 255ULL, 256ULL, 65535ULL, 65536ULL, 4294967296ULL}) {
    writer.Unsigned(value);
  }
  EXPECT_EQ(std::move(writer).Take(),
            FromHex("00" "17" "1818" "18ff" "190100" "19ffff" "1a00010000" "1b0000000100000000"));
}

TEST(Cbor, RefusesWhatTheSubsetDoesNotHave) {
  struct Case {
    const char* name;
    const char* hex;
  };
  constexpr Case kCases[] = {
      {"indefinite array", "9f01ff"},   {"indefinite text", "7f6161ff"},     {"indefinite map", "bfff"},
      {"tag", "c001"},                  {"half float", "f93c00"},            {"float", "fa3f800000"},
      {"double", "fb3ff0000000000000"}, {"undefined", "f7"},                 {"simple value", "f0"},
      {"long simple value", "f8ff"},    {"reserved length", "1c"},           {"54 bits", "1b0020000000000000"},
      {"short bytes", "42ff"},          {"long announcement", "5bffffffffffffffff"},
      {"array beyond the input", "9a0000ffff00"},                            {"map beyond the input", "a20001"},
      {"key that is no text", "a10001"}, {"text that is not UTF-8", "61ff"}, {"nothing", ""},
      {"nested too deep", "818181818181818181818100"},
  };
  for (const Case& c : kCases) {
    const Bytes bytes = FromHex(c.hex);
    EXPECT_THROW(CborReader(bytes).Skip(1), TransportError) << c.name;
  }
  const Bytes good = FromHex("a26161f56162830120f6");
  CborReader reader(good);
  reader.Skip(1);
  EXPECT_TRUE(reader.AtEnd());
}

TEST(Cbor, KnowsUtf8) {
  for (const char* good : {"", "41", "c3a9", "e282ac", "f09f9880", "ed9fbf", "f48fbfbf"}) {
    EXPECT_TRUE(IsUtf8(FromHex(good))) << good;
  }
  for (const char* bad : {"80", "c080", "c3", "e08080", "eda080", "f0808080", "f4908080", "f8", "e282", "c341"}) {
    EXPECT_FALSE(IsUtf8(FromHex(bad))) << bad;
  }
}

TEST(Messages, EncodesRequestsAsTheProtocolSays) {
  EXPECT_EQ(HelloFrame(1), FromHex("00000009" "8301" "65" "68656c6c6f" "01"));
  EXPECT_EQ(GenerationFrame(24), FromHex("0000000e" "821818" "6a" "67656e65726174696f6e"));
  EXPECT_EQ(ListFrame(2, 300), FromHex("0000000a" "8302" "64" "6c697374" "19012c"));
  EXPECT_EQ(ToBytes(LoginFrame(3, "web", AsBytes("1234")).view()),
            FromHex("00000011" "8403" "65" "6c6f67696e" "63776562" "6431323334"));
  const Bytes fingerprint = {0xaa, 0xbb};
  const Bytes data = {0x01};
  KeyParameter parameter;
  const KeyRequest request{"sign", 0, "web", fingerprint, "ECDSA", data, parameter};
  EXPECT_EQ(KeyFrame(4, request), FromHex("00000013" "8604" "64" "7369676e" "42aabb" "65" "4543445341" "4101" "f6"));
  parameter = PssParameter{"SHA-256", 32};
  EXPECT_EQ(KeyFrame(4, request),
            FromHex("0000001d" "8604" "64" "7369676e" "42aabb" "65" "4543445341" "4101" "82" "67" "5348412d323536" "1820"));
}

TEST(Messages, ReadsAnswers) {
  const Bytes generation = FromHex("8305001903e8");
  EXPECT_EQ(OpenAnswer(generation).id, 5U);
  EXPECT_EQ(UnsignedResult(OpenAnswer(generation)), 1000U);
  const Bytes refusal = FromHex("820506");
  EXPECT_EQ(OpenAnswer(refusal).status.status, Status::kUnknownToken);
  const Bytes refusal_with_detail = FromHex("83050661" "61");
  EXPECT_EQ(OpenAnswer(refusal_with_detail).status.status, Status::kUnknownToken);
  for (const char* bad : {"80", "8105", "8205", "820512", "820500", "84050000f6", "8205f6", "82200600", "a10500",
                          "8305001903e800"}) {
    const Bytes bytes = FromHex(bad);
    EXPECT_THROW(UnsignedResult(OpenAnswer(bytes)), TransportError) << bad;
  }
}

Bytes SampleList() {
  CborWriter writer;
  writer.Array(3);
  writer.Unsigned(9);
  writer.Unsigned(0);
  writer.Array(3);
  writer.Unsigned(77);
  writer.Unsigned(1);
  writer.Array(1);
  writer.Map(6);
  writer.Text("label");
  writer.Text("web");
  writer.Text("future");
  writer.Null();
  writer.Text("certificates");
  writer.Array(1);
  writer.ByteString(Bytes(10, 0x30));
  writer.Text("publicKey");
  writer.ByteString(Bytes(10, 0x31));
  writer.Text("mechanisms");
  writer.Array(1);
  writer.Text("ECDSA");
  writer.Text("expires");
  writer.Unsigned(1);
  return std::move(writer).Take();
}

TEST(Messages, ReadsLists) {
  const Bytes bytes = SampleList();
  const ListPage page = ListResult(OpenAnswer(bytes));
  EXPECT_EQ(page.generation, 77U);
  ASSERT_EQ(page.tokens.size(), 1U);
  EXPECT_EQ(page.tokens[0].label, "web");
  EXPECT_EQ(page.tokens[0].mechanisms, std::vector<std::string>{"ECDSA"});
}

TEST(Messages, SurvivesMutationsOfALists) {
  const Bytes sample = SampleList();
  std::mt19937 random(1);
  for (int round = 0; round < 200'000; ++round) {
    Bytes bytes = sample;
    for (unsigned i = random() % 4 + 1; i > 0; --i) {
      const std::size_t at = random() % bytes.size();
      if (random() % 3 == 0) {
        bytes.resize(at + 1);
      } else {
        bytes[at] = static_cast<std::uint8_t>(random());
      }
    }
    try {
      ListResult(OpenAnswer(bytes));
    } catch (const TransportError&) {
    }
  }
}

TEST(Messages, SurvivesRandomBytes) {
  std::mt19937 random(2);
  for (int round = 0; round < 200'000; ++round) {
    Bytes bytes(random() % 64);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    try {
      ListResult(OpenAnswer(bytes));
    } catch (const TransportError&) {
    }
  }
}

TEST(StatusTable, IsComplete) {
  std::uint64_t status = 0;
  for (const StatusEntry& entry : kStatusTable) EXPECT_EQ(static_cast<std::uint64_t>(entry.status), status++);
  EXPECT_EQ(status, 18U);
  EXPECT_FALSE(FindStatus(18).has_value());
}

}  // namespace
}  // namespace tlskeep
