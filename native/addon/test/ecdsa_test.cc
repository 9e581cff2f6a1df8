// Keys that take turns on one thread's curve.
#include "ecdsa.h"

#include <gtest/gtest.h>

#include <thread>

#include "test_key.h"

namespace tlskeep::test {
namespace {

Bytes SignWith(const TestKey& key, ByteView hash_value) {
  Bytes signature(key.held->signature_bytes());
  EXPECT_TRUE(EcdsaSign(key.held->ec_private_key(), hash_value, signature));
  return signature;
}

TEST(Ecdsa, SignsEachTimeWithTheKeyThatIsNamed) {
  const TestKey first = NewKey();
  const TestKey second = NewKey();
  const TestKey& p384 = KeyOf(KeyKind::kP384);
  for (std::uint32_t size = 20; size <= 64; ++size) {
    const Bytes hash_value = EcdsaData(size, size);
    const Bytes by_first = SignWith(first, hash_value);
    const Bytes by_p384 = SignWith(p384, hash_value);
    const Bytes by_second = SignWith(second, hash_value);
    EXPECT_TRUE(VerifyEcdsa(first.pair, hash_value, by_first)) << size;
    EXPECT_TRUE(VerifyEcdsa(second.pair, hash_value, by_second)) << size;
    EXPECT_TRUE(VerifyEcdsa(p384.pair, hash_value, by_p384)) << size;
    EXPECT_FALSE(VerifyEcdsa(first.pair, hash_value, by_second)) << size;
  }
}

TEST(Ecdsa, SignsOnThreadsThatComeAndGo) {
  const TestKey key = NewKey();
  const Bytes hash_value = EcdsaData(1);
  for (int i = 0; i < 4; ++i) {
    Bytes signature;
    std::thread([&] { signature = SignWith(key, hash_value); }).join();
    EXPECT_TRUE(VerifyEcdsa(key.pair, hash_value, signature));
  }
}

}  // namespace
}  // namespace tlskeep::test
