// What libcrypto, the one that is linked here, does with a wrong half of an RSA signature: SignRsa relies on
// its letting none out.
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <array>
#include <memory>
#include <vector>

#include "crypto_library.h"
#include "private_key.h"

namespace tlskeep::test {
namespace {

struct BnFree {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
};
using Bn = std::unique_ptr<BIGNUM, BnFree>;
struct BnContextFree {
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
};
struct ParamBuilderFree {
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
};
struct ParamsFree {
  void operator()(OSSL_PARAM* params) const { OSSL_PARAM_free(params); }
};
using Pkey = std::unique_ptr<EVP_PKEY, PkeyDeleter>;

constexpr std::array kParts = {
    OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,         OSSL_PKEY_PARAM_RSA_D,
    OSSL_PKEY_PARAM_RSA_FACTOR1,   OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
    OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

Pkey NewKey() {
  Pkey key(EVP_PKEY_Q_keygen(CryptoLibrary(), nullptr, "RSA", std::size_t{2048}));
  EXPECT_NE(key, nullptr);
  return key;
}

Bn PartOf(const Pkey& key, const char* name) {
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key.get(), name, &number), 1) << name;
  return Bn(number);
}

// The key with 4 added to each of `wrong`.
Pkey WithWrong(const Pkey& key, const std::vector<std::string>& wrong) {
  std::vector<Bn> numbers;
  const std::unique_ptr<OSSL_PARAM_BLD, ParamBuilderFree> builder(OSSL_PARAM_BLD_new());
  for (const char* name : kParts) {
    numbers.push_back(PartOf(key, name));
    for (const std::string& one : wrong) {
      if (one == name) BN_add_word(numbers.back().get(), 4);
    }
    EXPECT_EQ(OSSL_PARAM_BLD_push_BN(builder.get(), name, numbers.back().get()), 1);
  }
  const std::unique_ptr<OSSL_PARAM, ParamsFree> params(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(CryptoLibrary(), "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  EXPECT_EQ(EVP_PKEY_fromdata_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, params.get()), 1);
  return Pkey(made);
}

// The number that m is signed to, without padding.
Bn SignNumber(const Pkey& key, const BIGNUM* m) {
  std::array<std::uint8_t, 256> block;
  EXPECT_EQ(BN_bn2binpad(m, block.data(), static_cast<int>(block.size())), 256);
  const PkeyContext context(EVP_PKEY_CTX_new_from_pkey(CryptoLibrary(), key.get(), nullptr));
  EXPECT_EQ(EVP_PKEY_sign_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING), 1);
  std::array<std::uint8_t, 256> signature;
  std::size_t size = signature.size();
  EXPECT_EQ(EVP_PKEY_sign(context.get(), signature.data(), &size, block.data(), block.size()), 1);
  return Bn(BN_bin2bn(signature.data(), static_cast<int>(size), nullptr));
}

class RsaFault : public testing::Test {
 protected:
  // What s^e - m has in common with n: n for a right signature, a factor for one of two halves of which
  // one is wrong, else 1.
  Bn Shared(const BIGNUM* signature) {
    const Bn n = PartOf(key_, OSSL_PKEY_PARAM_RSA_N);
    const Bn e = PartOf(key_, OSSL_PKEY_PARAM_RSA_E);
    Bn number(BN_new());
    EXPECT_EQ(BN_mod_exp(number.get(), signature, e.get(), n.get(), context_.get()), 1);
    EXPECT_EQ(BN_sub(number.get(), number.get(), m_.get()), 1);
    Bn shared(BN_new());
    EXPECT_EQ(BN_gcd(shared.get(), number.get(), n.get(), context_.get()), 1);
    return shared;
  }

  const Pkey key_ = NewKey();
  const std::unique_ptr<BN_CTX, BnContextFree> context_{BN_CTX_new_ex(CryptoLibrary())};
  const Bn m_ = [] {
    Bn m(BN_new());
    BN_set_word(m.get(), 0x7113'ce55);
    return m;
  }();
};

TEST_F(RsaFault, AWrongHalfIsFoundAndTheSignatureMadeAnotherWay) {
  for (const char* half : {OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2}) {
    const Bn signature = SignNumber(WithWrong(key_, {half}), m_.get());
    EXPECT_EQ(BN_cmp(Shared(signature.get()).get(), PartOf(key_, OSSL_PKEY_PARAM_RSA_N).get()), 0) << half;
  }
}

TEST_F(RsaFault, AWrongHalfIsNotLetOutEvenIfTheOtherWayIsWrongToo) {
  for (const char* half : {OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2}) {
    const Bn signature = SignNumber(WithWrong(key_, {half, OSSL_PKEY_PARAM_RSA_D}), m_.get());
    EXPECT_TRUE(BN_is_one(Shared(signature.get()).get())) << half;
  }
}

// What there is to lose: this is what a signature without that check would give away.
TEST_F(RsaFault, AWrongHalfThatIsLetOutTellsAFactor) {
  const Bn p = PartOf(key_, OSSL_PKEY_PARAM_RSA_FACTOR1);
  const Bn q = PartOf(key_, OSSL_PKEY_PARAM_RSA_FACTOR2);
  const Bn right = SignNumber(key_, m_.get());
  // Right modulo q, wrong modulo p.
  Bn wrong(BN_dup(right.get()));
  BN_add(wrong.get(), wrong.get(), q.get());
  EXPECT_EQ(BN_cmp(Shared(wrong.get()).get(), q.get()), 0);
}

}  // namespace
}  // namespace tlskeep::test
