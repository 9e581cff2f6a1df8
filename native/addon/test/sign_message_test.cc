// The reader of `sign` against every form of it and hostile bytes, and the writer of its answer.
#include "signing/sign_message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "test_key.h"
#include "wire/cbor.h"

namespace tlskeep::test {
namespace {

const Bytes kFingerprint(kFingerprintBytes, 0xab);
const Bytes kData(32, 0xcd);

Bytes Payload(std::string_view mechanism, ByteView parameter = NoParameter()) {
  return SignPayload(7, kFingerprint, mechanism, kData, parameter);
}

TEST(SignMessage, ReadsEveryMechanism) {
  struct Case {
    const char* name;
    Mechanism mechanism;
  };
  constexpr Case kCases[] = {{"RSA_PKCS", Mechanism::kRsaPkcs},
                             {"ECDSA", Mechanism::kEcdsa},
                             {"EDDSA", Mechanism::kEddsa},
                             {"RSA_X_509", Mechanism::kRsaX509}};
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Bytes payload = Payload(c.name);
    const auto message = ReadSignMessage(payload);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->id, 7U);
    EXPECT_EQ(ToBytes(message->fingerprint), kFingerprint);
    EXPECT_EQ(message->request.mechanism, c.mechanism);
    EXPECT_EQ(ToBytes(message->request.data), kData);
    // Views of the payload, which is never copied.
    EXPECT_GE(message->request.data.data(), payload.data());
    EXPECT_LE(message->request.data.data() + kData.size(), payload.data() + payload.size());
  }
}

TEST(SignMessage, ReadsTheParameterOfPss) {
  struct Case {
    const char* name;
    Hash hash;
    std::uint64_t salt_length;
  };
  constexpr Case kCases[] = {{"SHA-1", Hash::kSha1, 20},
                             {"SHA-224", Hash::kSha224, 0},
                             {"SHA-256", Hash::kSha256, 32},
                             {"SHA-384", Hash::kSha384, 48},
                             {"SHA-512", Hash::kSha512, 65'535}};
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Bytes payload = Payload("RSA_PKCS_PSS", PssParameter(c.name, c.salt_length));
    const auto message = ReadSignMessage(payload);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->request.mechanism, Mechanism::kRsaPkcsPss);
    EXPECT_EQ(message->request.hash, c.hash);
    EXPECT_EQ(message->request.salt_length, c.salt_length);
  }
}

TEST(SignMessage, ReadsTheSmallestAndTheLargest) {
  for (const std::uint64_t id : {0ULL, 23ULL, 24ULL, 255ULL, 256ULL, 65'535ULL, 65'536ULL, 0xffff'ffffULL}) {
    const Bytes payload = SignPayload(id, kFingerprint, "ECDSA", kData);
    const auto message = ReadSignMessage(payload);
    ASSERT_TRUE(message) << id;
    EXPECT_EQ(message->id, id);
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{60'000}, std::size_t{65'000}}) {
    const Bytes data(size, 1);
    const Bytes payload = SignPayload(1, kFingerprint, "EDDSA", data);
    const auto message = ReadSignMessage(payload);
    ASSERT_TRUE(message) << size;
    EXPECT_EQ(message->request.data.size(), size);
  }
}

// Items are put together by hand where the writer would refuse to.
Bytes Join(std::initializer_list<Bytes> items) {
  Bytes joined;
  for (const Bytes& item : items) joined.insert(joined.end(), item.begin(), item.end());
  return joined;
}
Bytes Text(std::string_view text) {
  CborWriter writer;
  writer.Text(text);
  return std::move(writer).Take();
}
Bytes Data(ByteView data) {
  CborWriter writer;
  writer.ByteString(data);
  return std::move(writer).Take();
}

// The subset does not ask for the shortest heads, and the other reader of requests takes longer ones too.
TEST(SignMessage, ReadsLongerHeadsThanNeeded) {
  const Bytes fingerprint = Join({{0x5b, 0, 0, 0, 0, 0, 0, 0, 32}, kFingerprint});
  for (const Bytes& array : {Bytes{0x98, 6}, Bytes{0x99, 0, 6}, Bytes{0x9b, 0, 0, 0, 0, 0, 0, 0, 6}}) {
    const Bytes payload = Join({array, {0x1b, 0, 0, 0, 0, 0, 0, 0, 7}, {0x78, 4, 's', 'i', 'g', 'n'}, fingerprint,
                                Text("ECDSA"), {0x59, 0, 1, 9}, {0xf6}});
    const auto message = ReadSignMessage(payload);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->id, 7U);
    EXPECT_EQ(message->request.data.size(), 1U);
  }
}

TEST(SignMessage, GivesNothingForWhatOthersRefuse) {
  const Bytes id = {7};
  const Bytes sign = Text("sign");
  const Bytes fingerprint = Data(kFingerprint);
  const Bytes mechanism = Text("ECDSA");
  const Bytes data = Data(kData);
  const Bytes null = {0xf6};
  ASSERT_TRUE(ReadSignMessage(Join({{0x86}, id, sign, fingerprint, mechanism, data, null})));
  struct Case {
    const char* name;
    Bytes payload;
  };
  const Case kCases[] = {
      {"nothing", {}},
      {"no array", {7}},
      {"an empty array", {0x80}},
      {"another operation", {0x82, 7, 0x65, 'h', 'e', 'l', 'l', 'o'}},
      {"a map", Join({{0xa3}, id, sign, fingerprint, mechanism, data, null})},
      {"five elements", Join({{0x85}, id, sign, fingerprint, mechanism, data})},
      {"a parameter left out", Join({{0x86}, id, sign, fingerprint, mechanism, data})},
      {"seven elements", Join({{0x87}, id, sign, fingerprint, mechanism, data, null, null})},
      {"a byte behind", Join({{0x86}, id, sign, fingerprint, mechanism, data, null, {0}})},
      {"an indefinite array", Join({{0x9f}, id, sign, fingerprint, mechanism, data, null, {0xff}})},
      {"a negative id", Join({{0x86}, {0x26}, sign, fingerprint, mechanism, data, null})},
      {"a text for the id", Join({{0x86}, sign, sign, fingerprint, mechanism, data, null})},
      {"an id of 33 bits",
       Join({{0x86}, {0x1b, 0, 0, 0, 1, 0, 0, 0, 0}, sign, fingerprint, mechanism, data, null})},
      {"an id of 64 bits",
       Join({{0x86}, {0x1b, 255, 255, 255, 255, 255, 255, 255, 255}, sign, fingerprint, mechanism, data, null})},
      {"decrypt", Join({{0x86}, id, Text("decrypt"), fingerprint, mechanism, data, null})},
      {"sign in capitals", Join({{0x86}, id, Text("SIGN"), fingerprint, mechanism, data, null})},
      {"the operation as bytes", Join({{0x86}, id, Data(AsBytes("sign")), fingerprint, mechanism, data, null})},
      {"an indefinite operation",
       Join({{0x86}, id, {0x7f, 0x64, 's', 'i', 'g', 'n', 0xff}, fingerprint, mechanism, data, null})},
      {"a fingerprint of 31 bytes", Join({{0x86}, id, sign, Data(Bytes(31)), mechanism, data, null})},
      {"a fingerprint of 33 bytes", Join({{0x86}, id, sign, Data(Bytes(33)), mechanism, data, null})},
      {"a fingerprint as text", Join({{0x86}, id, sign, Text(std::string(32, 'a')), mechanism, data, null})},
      {"an unknown mechanism", Join({{0x86}, id, sign, fingerprint, Text("RSA_9796"), data, null})},
      {"a longer mechanism", Join({{0x86}, id, sign, fingerprint, Text("ECDSA\n"), data, null})},
      {"an empty mechanism", Join({{0x86}, id, sign, fingerprint, Text(""), data, null})},
      {"a mechanism that is not UTF-8",
       Join({{0x86}, id, sign, fingerprint, {0x65, 'E', 'C', 'D', 'S', 0xff}, data, null})},
      {"data as text", Join({{0x86}, id, sign, fingerprint, mechanism, Text("abc"), null})},
      {"data longer than the payload", Join({{0x86}, id, sign, fingerprint, mechanism, {0x5a, 255, 255, 255, 255}})},
      {"data of 2^64 bytes", Join({{0x86}, id, sign, fingerprint, mechanism,
                                   {0x5b, 255, 255, 255, 255, 255, 255, 255, 255}, null})},
      {"false for the parameter", Join({{0x86}, id, sign, fingerprint, mechanism, data, {0xf4}})},
      {"undefined for the parameter", Join({{0x86}, id, sign, fingerprint, mechanism, data, {0xf7}})},
      {"null in two bytes", Join({{0x86}, id, sign, fingerprint, mechanism, data, {0xf8, 22}})},
      {"a tag", Join({{0x86}, {0xc1, 7}, sign, fingerprint, mechanism, data, null})},
      {"a parameter of ECDSA", Payload("ECDSA", PssParameter("SHA-256", 32))},
      {"a parameter of RSA_PKCS", Payload("RSA_PKCS", {{0}})},
      {"PSS without a parameter", Payload("RSA_PKCS_PSS")},
      {"PSS with an empty parameter", Payload("RSA_PKCS_PSS", {{0x80}})},
      {"PSS with a hash alone", Payload("RSA_PKCS_PSS", Join({{0x81}, Text("SHA-256")}))},
      {"PSS with three elements", Payload("RSA_PKCS_PSS", Join({{0x83}, Text("SHA-256"), {32}, {32}}))},
      {"PSS the other way round", Payload("RSA_PKCS_PSS", Join({{0x82}, {32}, Text("SHA-256")}))},
      {"PSS with an unknown hash", Payload("RSA_PKCS_PSS", PssParameter("SHA-3", 32))},
      {"PSS with a hash of another spelling", Payload("RSA_PKCS_PSS", PssParameter("SHA256", 32))},
      {"PSS with a negative salt", Payload("RSA_PKCS_PSS", Join({{0x82}, Text("SHA-256"), {0x20}}))},
      {"PSS with a salt of 17 bits", Payload("RSA_PKCS_PSS", PssParameter("SHA-256", 65'536))},
      {"PSS with a salt that would wrap to 32", Payload("RSA_PKCS_PSS", PssParameter("SHA-256", (1ULL << 32) + 32))},
  };
  for (const Case& c : kCases) EXPECT_FALSE(ReadSignMessage(c.payload)) << c.name;
}

TEST(SignMessage, GivesNothingForAnythingCutShort) {
  const Bytes whole = Payload("RSA_PKCS_PSS", PssParameter("SHA-256", 32));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));  // for the sanitizer to guard
    EXPECT_FALSE(ReadSignMessage(cut)) << size;
  }
  EXPECT_TRUE(ReadSignMessage(whole));
}

TEST(SignMessage, SurvivesMutations) {
  std::mt19937 random(20'251'101);
  const Bytes seeds[] = {Payload("ECDSA"), Payload("RSA_PKCS_PSS", PssParameter("SHA-512", 64))};
  int read = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes payload = seeds[i % 2];
    for (unsigned left = 1 + random() % 4; left > 0; --left) {
      payload[random() % payload.size()] = static_cast<std::uint8_t>(random());
    }
    if (random() % 4 == 0) payload.resize(random() % payload.size());
    const auto message = ReadSignMessage(payload);
    if (!message) continue;
    ++read;
    ASSERT_EQ(message->fingerprint.size(), kFingerprintBytes);
    ASSERT_LE(message->request.data.size(), payload.size());
    ASSERT_LE(static_cast<std::uint32_t>(message->request.mechanism), static_cast<std::uint32_t>(kLastMechanism));
  }
  EXPECT_GT(read, 1'000);  // most bytes are the fingerprint's and the data's
}

TEST(SignAnswer, IsAFrameOfIdStatusAndSignature) {
  for (const std::uint32_t id : {0U, 23U, 24U, 255U, 256U, 65'535U, 65'536U, 0xffff'ffffU}) {
    for (const std::size_t size : {0U, 1U, 23U, 24U, 64U, 96U, 255U, 256U, 512U}) {
      SCOPED_TRACE(testing::Message() << "id " << id << ", " << size << " bytes");
      Signature signature;
      signature.size = size;
      std::iota(signature.bytes.begin(), signature.bytes.end(), std::uint8_t{3});
      SignAnswerBuffer buffer;
      const ByteView frame = WriteSignAnswer(id, signature, buffer);
      CborWriter expected;
      expected.Array(3);
      expected.Unsigned(id);
      expected.Unsigned(0);
      expected.ByteString({signature.bytes.data(), size});
      const Bytes payload = std::move(expected).Take();
      ASSERT_EQ(frame.size(), 4 + payload.size());
      EXPECT_EQ(frame[0] << 24 | frame[1] << 16 | frame[2] << 8 | frame[3], static_cast<int>(payload.size()));
      EXPECT_TRUE(std::equal(payload.begin(), payload.end(), frame.begin() + 4));
    }
  }
}

}  // namespace
}  // namespace tlskeep::test
