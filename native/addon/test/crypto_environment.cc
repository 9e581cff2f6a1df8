// Opens the addon's libcrypto before any test uses it: it takes its allocator from whoever is first.
#include <gtest/gtest.h>

#include "crypto_library.h"

namespace tlskeep::test {
namespace {

class CryptoEnvironment : public testing::Environment {
  void SetUp() override { CryptoLibrary(); }
};

const testing::Environment* const kEnvironment = testing::AddGlobalTestEnvironment(new CryptoEnvironment);

}  // namespace
}  // namespace tlskeep::test
