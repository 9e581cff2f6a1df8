// Publishing and withdrawing, who finds which key, and what the rules of both policies admit.
#include "signing/key_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "test_key.h"

namespace tlskeep::test {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr std::int64_t kLater = kNow + 1;
constexpr auto kAnyGate = [](std::uint32_t) { return true; };

auto Gate(std::uint32_t open) {
  return [open](std::uint32_t gate) { return gate == open; };
}

class KeyDirectoryTest : public testing::Test {
 protected:
  const TestKey first_ = NewKey();
  const TestKey second_ = NewKey();
  KeyDirectory directory_;

  const PrivateKey* Held(const TestKey& key, std::int64_t now = kNow) const {
    const auto found = directory_.Find(key.fingerprint, now, kAnyGate);
    return found ? found->key.get() : nullptr;
  }
};

TEST_F(KeyDirectoryTest, FindsWhatIsPublished) {
  EXPECT_EQ(Held(first_), nullptr);
  directory_.Publish(1, 9, kLater, {EntryFor(first_), EntryFor(second_)});
  EXPECT_EQ(Held(first_), first_.held.get());
  EXPECT_EQ(Held(second_), second_.held.get());
  EXPECT_EQ(Held(NewKey()), nullptr);
}

TEST_F(KeyDirectoryTest, ReplacesATokensKeysAllAtOnce) {
  directory_.Publish(1, 9, kLater, {EntryFor(first_)});
  directory_.Publish(1, 9, kLater, {EntryFor(second_)});
  EXPECT_EQ(Held(first_), nullptr);
  EXPECT_EQ(Held(second_), second_.held.get());
  directory_.Publish(1, 9, kLater, {});
  EXPECT_EQ(Held(second_), nullptr);
}

TEST_F(KeyDirectoryTest, WithdrawsATokensKeys) {
  directory_.Publish(1, 9, kLater, {EntryFor(first_)});
  directory_.Publish(2, 9, kLater, {EntryFor(second_)});
  directory_.Withdraw(1);
  directory_.Withdraw(1);
  directory_.Withdraw(3);
  EXPECT_EQ(Held(first_), nullptr);
  EXPECT_EQ(Held(second_), second_.held.get());
}

TEST_F(KeyDirectoryTest, LetsGoOfAKeyThatIsWithdrawn) {
  auto entry = EntryFor(first_);
  const std::weak_ptr<const PrivateKey> published = entry.key = NewKey().held;
  directory_.Publish(1, 9, kLater, {std::move(entry)});
  entry = {};
  auto in_use = directory_.Find(first_.fingerprint, kNow, kAnyGate);
  ASSERT_TRUE(in_use);
  directory_.Withdraw(1);
  EXPECT_FALSE(published.expired());  // a signature in flight has it still
  in_use.reset();
  EXPECT_TRUE(published.expired());
}

TEST_F(KeyDirectoryTest, EndsWithTheTokensLease) {
  directory_.Publish(1, 9, kNow, {EntryFor(first_)});
  EXPECT_NE(Held(first_, kNow - 1), nullptr);
  EXPECT_EQ(Held(first_, kNow), nullptr);  // as the token store counts
  EXPECT_EQ(Held(first_, kNow + 1), nullptr);
  directory_.Publish(1, 9, kNow + 10, {EntryFor(first_)});
  EXPECT_NE(Held(first_, kNow + 9), nullptr);
}

TEST_F(KeyDirectoryTest, AsksForTheTokensGate) {
  directory_.Publish(1, 9, kLater, {EntryFor(first_)});
  EXPECT_FALSE(directory_.Find(first_.fingerprint, kNow, Gate(8)));
  EXPECT_TRUE(directory_.Find(first_.fingerprint, kNow, Gate(9)));
  directory_.Publish(1, 10, kLater, {EntryFor(first_)});  // the PIN has changed
  EXPECT_FALSE(directory_.Find(first_.fingerprint, kNow, Gate(9)));
  EXPECT_TRUE(directory_.Find(first_.fingerprint, kNow, Gate(10)));
}

TEST_F(KeyDirectoryTest, KnowsTwoTokensWithOneKey) {
  directory_.Publish(1, 8, kNow + 5, {EntryFor(first_)});
  directory_.Publish(2, 9, kNow + 10, {EntryFor(first_), EntryFor(second_)});
  EXPECT_EQ(directory_.Find(first_.fingerprint, kNow, Gate(8))->gate, 8U);
  EXPECT_EQ(directory_.Find(first_.fingerprint, kNow, Gate(9))->gate, 9U);
  // The first has expired.
  EXPECT_FALSE(directory_.Find(first_.fingerprint, kNow + 5, Gate(8)));
  EXPECT_EQ(directory_.Find(first_.fingerprint, kNow + 5, kAnyGate)->gate, 9U);
  directory_.Withdraw(1);
  EXPECT_FALSE(directory_.Find(first_.fingerprint, kNow, Gate(8)));
  EXPECT_EQ(directory_.Find(first_.fingerprint, kNow, kAnyGate)->gate, 9U);
  // The other way round: the token that came second goes first.
  directory_.Publish(1, 8, kNow + 5, {EntryFor(first_)});
  directory_.Withdraw(2);
  EXPECT_EQ(directory_.Find(first_.fingerprint, kNow, kAnyGate)->gate, 8U);
  EXPECT_EQ(Held(second_), nullptr);
  directory_.Withdraw(1);
  EXPECT_EQ(Held(first_), nullptr);
}

TEST_F(KeyDirectoryTest, TakesAKeyThatIsNamedTwice) {
  directory_.Publish(1, 9, kLater, {EntryFor(first_), EntryFor(first_)});
  EXPECT_EQ(Held(first_), first_.held.get());
  directory_.Publish(1, 9, kLater, {EntryFor(first_), EntryFor(first_), EntryFor(second_)});
  directory_.Withdraw(1);
  EXPECT_EQ(Held(first_), nullptr);
  EXPECT_EQ(Held(second_), nullptr);
}

TEST_F(KeyDirectoryTest, CountsByMechanismAndToken) {
  directory_.Publish(1, 8, kLater, {EntryFor(first_)});
  directory_.Publish(2, 9, kLater, {EntryFor(first_)});
  const auto of_first = directory_.Find(first_.fingerprint, kNow, Gate(8));
  const auto of_second = directory_.Find(first_.fingerprint, kNow, Gate(9));
  of_first->counters->Add(Mechanism::kEcdsa);
  of_first->counters->Add(Mechanism::kEcdsa);
  of_first->counters->Add(Mechanism::kRsaX509);
  of_second->counters->Add(Mechanism::kRsaPkcs);
  EXPECT_EQ(directory_.TakeCounts(1), (SignatureCounts{0, 0, 2, 0, 1}));
  EXPECT_EQ(directory_.TakeCounts(1), SignatureCounts{});
  EXPECT_EQ(directory_.TakeCounts(2), (SignatureCounts{1, 0, 0, 0, 0}));
  EXPECT_EQ(directory_.TakeCounts(3), SignatureCounts{});
}

TEST_F(KeyDirectoryTest, KeepsCountingAcrossAPublication) {
  directory_.Publish(1, 9, kLater, {EntryFor(first_)});
  const auto before = directory_.Find(first_.fingerprint, kNow, kAnyGate);
  before->counters->Add(Mechanism::kEcdsa);
  directory_.Publish(1, 9, kLater, {EntryFor(second_)});
  before->counters->Add(Mechanism::kEcdsa);  // a signature that was in flight
  EXPECT_EQ(directory_.TakeCounts(1), (SignatureCounts{0, 0, 2, 0, 0}));
  directory_.Withdraw(1);
  EXPECT_EQ(directory_.TakeCounts(1), SignatureCounts{});
}

// Against a plain list: fingerprints that want the same few rows, the last of the table among them, of tokens that
// come, change and go.
TEST(KeyDirectoryRows, HoldWhatAListWouldHold) {
  struct Held {
    std::uint32_t token;
    Fingerprint fingerprint;
  };
  constexpr std::uint32_t kTokens = 40;
  std::mt19937 random(1);
  const auto below = [&](std::uint32_t end) { return static_cast<std::uint32_t>(random() % end); };
  const TestKey key = NewKey();
  std::vector<Fingerprint> fingerprints(60);
  for (std::size_t i = 0; i < fingerprints.size(); ++i) {
    // All ones but for some low bits: homes at the end of a table of any size, and behind its wrap.
    fingerprints[i].fill(0xff);
    fingerprints[i][0] = static_cast<std::uint8_t>(0xf8 + i % 9);
    fingerprints[i].back() = static_cast<std::uint8_t>(i);
  }
  KeyDirectory directory;
  std::vector<Held> list;
  for (int round = 0; round < 3'000; ++round) {
    const std::uint32_t token = below(kTokens);
    std::erase_if(list, [&](const Held& held) { return held.token == token; });
    if (below(3) == 0) {
      directory.Withdraw(token);
    } else {
      std::vector<KeyDirectory::Entry> entries;
      for (std::uint32_t more = below(4); more > 0; --more) {
        auto entry = EntryFor(key);
        entry.fingerprint = fingerprints[below(static_cast<std::uint32_t>(fingerprints.size()))];
        list.push_back({token, entry.fingerprint});
        entries.push_back(std::move(entry));
      }
      directory.Publish(token, token, kLater, entries);
    }
    const Fingerprint& wanted = fingerprints[below(static_cast<std::uint32_t>(fingerprints.size()))];
    for (std::uint32_t gate = 0; gate < kTokens; ++gate) {
      const bool held = std::ranges::any_of(
          list, [&](const Held& one) { return one.token == gate && one.fingerprint == wanted; });
      ASSERT_EQ(directory.Find(wanted, kNow, Gate(gate)).has_value(), held) << "round " << round << ", gate " << gate;
    }
  }
}

struct Admission {
  const char* name;
  Mechanism mechanism;
  Hash hash;
  Bytes data;
  bool tls_server;
  bool general;
};

void ExpectAdmissions(KeyKind kind, const std::vector<Admission>& cases) {
  for (const Admission& c : cases) {
    SCOPED_TRACE(c.name);
    const SignRequest request{.mechanism = c.mechanism, .hash = c.hash, .data = c.data};
    EXPECT_EQ(Admits(TlsServerRules(kind), request), c.tls_server) << "tls-server";
    EXPECT_EQ(Admits(GeneralRules(kind), request), c.general) << "general";
  }
}

TEST(Admission, OfRsaKeys) {
  const auto info = [](const char* hash, std::size_t size) { return DigestInfo(hash, Bytes(size, 7)); };
  Bytes without_null = info("SHA256", 32);  // as some encode the algorithm: 30 2f 30 0b ...
  without_null.erase(without_null.begin() + 15, without_null.begin() + 17);
  without_null[1] = static_cast<std::uint8_t>(without_null[1] - 2);
  without_null[3] = static_cast<std::uint8_t>(without_null[3] - 2);
  Bytes longer = info("SHA256", 32);
  longer.push_back(0);
  Bytes shorter = info("SHA256", 32);
  shorter.pop_back();
  Bytes of_another_hash = info("SHA256", 32);
  of_another_hash[14] = 2;  // the last arc: SHA-384's, with the lengths of SHA-256
  constexpr auto kNoHash = Hash::kSha256;
  ExpectAdmissions(
      KeyKind::kRsa2048,
      {{"DigestInfo of SHA-1", Mechanism::kRsaPkcs, kNoHash, info("SHA1", 20), false, true},
       {"DigestInfo of SHA-224", Mechanism::kRsaPkcs, kNoHash, info("SHA224", 28), false, true},
       {"DigestInfo of SHA-256", Mechanism::kRsaPkcs, kNoHash, info("SHA256", 32), true, true},
       {"DigestInfo of SHA-384", Mechanism::kRsaPkcs, kNoHash, info("SHA384", 48), true, true},
       {"DigestInfo of SHA-512", Mechanism::kRsaPkcs, kNoHash, info("SHA512", 64), true, true},
       {"DigestInfo of MD5", Mechanism::kRsaPkcs, kNoHash, info("MD5", 16), false, false},
       {"DigestInfo of SHA3-256", Mechanism::kRsaPkcs, kNoHash, info("SHA3-256", 32), false, false},
       {"a short hash value", Mechanism::kRsaPkcs, kNoHash, info("SHA256", 31), false, false},
       {"without the NULL", Mechanism::kRsaPkcs, kNoHash, without_null, false, false},
       {"one byte more", Mechanism::kRsaPkcs, kNoHash, longer, false, false},
       {"one byte less", Mechanism::kRsaPkcs, kNoHash, shorter, false, false},
       {"the name of another hash", Mechanism::kRsaPkcs, kNoHash, of_another_hash, false, false},
       {"a hash value alone", Mechanism::kRsaPkcs, kNoHash, Bytes(32), false, false},
       {"nothing", Mechanism::kRsaPkcs, kNoHash, {}, false, false},
       {"MD5 and SHA-1 of TLS 1.1", Mechanism::kRsaPkcs, kNoHash, Bytes(36), false, false},
       {"PSS with SHA-1", Mechanism::kRsaPkcsPss, Hash::kSha1, Bytes(20), false, true},
       {"PSS with SHA-224", Mechanism::kRsaPkcsPss, Hash::kSha224, Bytes(28), false, true},
       {"PSS with SHA-256", Mechanism::kRsaPkcsPss, Hash::kSha256, Bytes(32), true, true},
       {"PSS with SHA-384", Mechanism::kRsaPkcsPss, Hash::kSha384, Bytes(48), true, true},
       {"PSS with SHA-512", Mechanism::kRsaPkcsPss, Hash::kSha512, Bytes(64), true, true},
       {"a raw block", Mechanism::kRsaX509, kNoHash, Bytes(256), false, true},
       {"ECDSA", Mechanism::kEcdsa, kNoHash, Bytes(32), false, false},
       {"EDDSA", Mechanism::kEddsa, kNoHash, Bytes(32), false, false}});
}

TEST(Admission, OfEcKeys) {
  std::vector<Admission> cases = {
      {"EDDSA", Mechanism::kEddsa, Hash::kSha256, Bytes(32), false, false},
      {"RSA_PKCS", Mechanism::kRsaPkcs, Hash::kSha256, DigestInfo("SHA256", Bytes(32)), false, false},
      {"RSA_X_509", Mechanism::kRsaX509, Hash::kSha256, Bytes(256), false, false}};
  for (const std::size_t size : {std::size_t{0}, std::size_t{19}, std::size_t{20}, std::size_t{31}, std::size_t{32},
                                 std::size_t{48}, std::size_t{64}, std::size_t{65}}) {
    cases.push_back({"ECDSA", Mechanism::kEcdsa, Hash::kSha256, Bytes(size), size >= 32 && size <= 64,
                     size >= 20 && size <= 64});
  }
  ExpectAdmissions(KeyKind::kP256, cases);
  ExpectAdmissions(KeyKind::kP384, cases);
}

TEST(Admission, OfEd25519Keys) {
  ExpectAdmissions(KeyKind::kEd25519,
                   {{"an empty message", Mechanism::kEddsa, Hash::kSha256, {}, true, true},
                    {"a long message", Mechanism::kEddsa, Hash::kSha256, Bytes(60'000), true, true},
                    {"ECDSA", Mechanism::kEcdsa, Hash::kSha256, Bytes(32), false, false},
                    {"PSS", Mechanism::kRsaPkcsPss, Hash::kSha256, Bytes(32), false, false}});
}

TEST(Admission, OfNothingWithoutRules) {
  for (std::uint32_t i = 0; i < kMechanismCount; ++i) {
    EXPECT_FALSE(Admits({}, {.mechanism = static_cast<Mechanism>(i), .data = {}})) << i;
  }
}

}  // namespace
}  // namespace tlskeep::test
