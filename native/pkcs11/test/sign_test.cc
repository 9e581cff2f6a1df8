// C_SignInit, C_Sign, C_SignUpdate and C_SignFinal: buffers, parameters, every mechanism and kind of key.
#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using SignTest = ModuleTest;

TEST_F(SignTest, FollowsTheOutputBufferRules) {  // a P-256 signature is 64 bytes
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  struct Case {
    const char* name;
    bool query;
    CK_ULONG given;
    CK_RV rv;
    CK_ULONG returned;
    bool still_active;
  };
  constexpr Case kCases[] = {
      {"length query", true, 0, CKR_OK, 64, true},
      {"length query with a length", true, 999, CKR_OK, 64, true},
      {"nothing", false, 0, CKR_BUFFER_TOO_SMALL, 64, true},
      {"one byte short", false, 63, CKR_BUFFER_TOO_SMALL, 64, true},
      {"exact fit", false, 64, CKR_OK, 64, false},
      {"larger than the output", false, 128, CKR_OK, 64, false},
  };
  for (const bool final : {false, true}) {
    for (const Case& c : kCases) {
      SCOPED_TRACE(std::string(c.name) + (final ? ", C_SignFinal" : ", C_Sign"));
      ASSERT_EQ(SignInit(session, key, final ? CKM_ECDSA_SHA256 : CKM_ECDSA), CKR_OK);
      Bytes data = Digest32();
      if (final) {
        ASSERT_EQ(module_->C_SignUpdate(session, data.data(), data.size()), CKR_OK);
      }
      Bytes output(128, 0xee);
      CK_ULONG size = c.given;
      CK_BYTE_PTR buffer = c.query ? nullptr : output.data();
      const CK_RV rv = final ? module_->C_SignFinal(session, buffer, &size)
                             : module_->C_Sign(session, data.data(), data.size(), buffer, &size);
      EXPECT_EQ(rv, c.rv);
      EXPECT_EQ(size, c.returned);
      if (c.still_active) {
        EXPECT_EQ(output, Bytes(128, 0xee));
      }
      size = output.size();
      const CK_RV again = final ? module_->C_SignFinal(session, output.data(), &size)
                                : module_->C_Sign(session, data.data(), data.size(), output.data(), &size);
      EXPECT_EQ(again, c.still_active ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED);
    }
  }
  EXPECT_EQ(enclave_->requests("sign"), 12U);  // a query costs no signature
  ASSERT_EQ(SignInit(session, key, CKM_ECDSA), CKR_OK);
  Bytes data = Digest32();
  EXPECT_EQ(module_->C_Sign(session, data.data(), data.size(), data.data(), nullptr), CKR_ARGUMENTS_BAD);
}

TEST_F(SignTest, KeepsToOneOperationASession) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  Bytes data = Digest32();
  Bytes signature;
  EXPECT_EQ(Sign(session, data, signature), CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(SignInit(session, FindOne(session, CKO_PUBLIC_KEY), CKM_ECDSA), CKR_KEY_FUNCTION_NOT_PERMITTED);
  EXPECT_EQ(SignInit(session, FindOne(session, CKO_CERTIFICATE), CKM_ECDSA), CKR_KEY_HANDLE_INVALID);
  EXPECT_EQ(SignInit(session, 9999, CKM_ECDSA), CKR_KEY_HANDLE_INVALID);
  EXPECT_EQ(SignInit(9999, key, CKM_ECDSA), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(SignInit(session, key, CKM_SHA256), CKR_MECHANISM_INVALID);
  EXPECT_EQ(SignInit(session, key, CKM_RSA_PKCS), CKR_KEY_TYPE_INCONSISTENT);
  EXPECT_EQ(module_->C_SignInit(session, nullptr, key), CKR_ARGUMENTS_BAD);
  CK_MECHANISM mechanism{CKM_ECDSA, data.data(), 1};
  EXPECT_EQ(module_->C_SignInit(session, &mechanism, key), CKR_MECHANISM_PARAM_INVALID);
  ASSERT_EQ(SignInit(session, key, CKM_ECDSA), CKR_OK);
  EXPECT_EQ(SignInit(session, key, CKM_ECDSA), CKR_OPERATION_ACTIVE);
  // An update of a mechanism that takes one part ends the operation.
  EXPECT_EQ(module_->C_SignUpdate(session, data.data(), data.size()), CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(Sign(session, data, signature), CKR_OPERATION_NOT_INITIALIZED);
  // C_Sign does not end an operation in parts.
  ASSERT_EQ(SignInit(session, key, CKM_ECDSA_SHA256), CKR_OK);
  ASSERT_EQ(module_->C_SignUpdate(session, data.data(), data.size()), CKR_OK);
  EXPECT_EQ(Sign(session, data, signature), CKR_OPERATION_NOT_INITIALIZED);
  // A length that cannot be signed ends it as well.
  for (const std::size_t size : {0UL, 20UL, 31UL, 65UL, 100000UL}) {
    ASSERT_EQ(SignInit(session, key, CKM_ECDSA), CKR_OK);
    EXPECT_EQ(Sign(session, Bytes(size, 1), signature), CKR_DATA_LEN_RANGE) << size;
  }
  EXPECT_EQ(enclave_->requests("sign"), 0U);
}

class EveryKey : public ModuleTest, public testing::WithParamInterface<KeyKind> {};

TEST_P(EveryKey, SignsWithEveryMechanismOfIt) {
  StartEnclave(GetParam());
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  const bool rsa = EVP_PKEY_is_a(key_.get(), "RSA") == 1;
  const Bytes message(100'000, 0x42);
  struct Hash {
    const char* name;
    CK_MECHANISM_TYPE hash, rsa_pkcs, rsa_pss, ecdsa;
    CK_RSA_PKCS_MGF_TYPE mgf;
    Bytes prefix;
  };
  const Hash hashes[] = {
      {"SHA256", CKM_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS, CKM_ECDSA_SHA256, CKG_MGF1_SHA256,
       {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}},
      {"SHA384", CKM_SHA384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS, CKM_ECDSA_SHA384, CKG_MGF1_SHA384,
       {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}},
      {"SHA512", CKM_SHA512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS, CKM_ECDSA_SHA512, CKG_MGF1_SHA512,
       {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}},
  };
  for (const Hash& h : hashes) {
    SCOPED_TRACE(h.name);
    const Bytes digest = Sha(h.name, message);
    const auto check = [&](CK_MECHANISM_TYPE type, const CK_RSA_PKCS_PSS_PARAMS* pss, const Bytes& input,
                           const auto& verify) {
      ASSERT_EQ(SignInit(session, key, type, pss), CKR_OK);
      Bytes signature;
      ASSERT_EQ(Sign(session, input, signature), CKR_OK);
      EXPECT_TRUE(verify(signature));
    };
    const auto check_parts = [&](CK_MECHANISM_TYPE type, const CK_RSA_PKCS_PSS_PARAMS* pss, const auto& verify) {
      ASSERT_EQ(SignInit(session, key, type, pss), CKR_OK);
      Bytes parts = message;
      ASSERT_EQ(module_->C_SignUpdate(session, parts.data(), 1), CKR_OK);
      ASSERT_EQ(module_->C_SignUpdate(session, parts.data(), 0), CKR_OK);
      ASSERT_EQ(module_->C_SignUpdate(session, parts.data() + 1, parts.size() - 1), CKR_OK);
      Bytes signature(512);
      CK_ULONG size = signature.size();
      ASSERT_EQ(module_->C_SignFinal(session, signature.data(), &size), CKR_OK);
      signature.resize(size);
      EXPECT_TRUE(verify(signature));
    };
    if (rsa) {
      const auto pkcs = [&](const Bytes& s) { return VerifyRsaPkcs(key_, h.name, message, s); };
      Bytes digest_info = h.prefix;
      digest_info.insert(digest_info.end(), digest.begin(), digest.end());
      check(CKM_RSA_PKCS, nullptr, digest_info, pkcs);
      check(h.rsa_pkcs, nullptr, message, pkcs);
      check_parts(h.rsa_pkcs, nullptr, pkcs);
      for (const int salt : {0, static_cast<int>(digest.size())}) {
        const CK_RSA_PKCS_PSS_PARAMS pss{h.hash, h.mgf, static_cast<CK_ULONG>(salt)};
        const auto verify = [&](const Bytes& s) { return VerifyRsaPss(key_, h.name, salt, message, s); };
        check(CKM_RSA_PKCS_PSS, &pss, digest, verify);
        check(h.rsa_pss, &pss, message, verify);
        check_parts(h.rsa_pss, &pss, verify);
      }
    } else {
      const auto ecdsa = [&](const Bytes& s) { return VerifyEcdsa(key_, digest, s); };
      check(CKM_ECDSA, nullptr, digest, ecdsa);
      check(h.ecdsa, nullptr, message, ecdsa);
      check_parts(h.ecdsa, nullptr, ecdsa);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryKey,
                         testing::Values(KeyKind::kRsa2048, KeyKind::kRsa3072, KeyKind::kRsa4096, KeyKind::kP256,
                                         KeyKind::kP384),
                         [](const auto& tested) { return KeyKindName(tested.param); });

TEST_F(SignTest, ChecksPssParameters) {
  StartEnclave(KeyKind::kRsa2048);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  struct Case {
    const char* name;
    CK_MECHANISM_TYPE type;
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_RV rv;
  };
  const Case cases[] = {
      {"salt of the hash's length", CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 32}, CKR_OK},
      {"longest salt", CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 222}, CKR_OK},
      {"salt too long", CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 223}, CKR_MECHANISM_PARAM_INVALID},
      {"salt far too long", CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, ~0UL}, CKR_MECHANISM_PARAM_INVALID},
      {"another hash in MGF1", CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA384, 32}, CKR_MECHANISM_PARAM_INVALID},
      {"SHA-1", CKM_RSA_PKCS_PSS, {CKM_SHA_1, CKG_MGF1_SHA1, 20}, CKR_MECHANISM_PARAM_INVALID},
      {"not the mechanism's hash", CKM_SHA256_RSA_PKCS_PSS, {CKM_SHA384, CKG_MGF1_SHA384, 48},
       CKR_MECHANISM_PARAM_INVALID},
  };
  Bytes signature;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(SignInit(session, key, c.type, &c.pss), c.rv);
    if (c.rv == CKR_OK) {
      EXPECT_EQ(Sign(session, Digest32(), signature), CKR_OK);
    }
  }
  EXPECT_EQ(SignInit(session, key, CKM_RSA_PKCS_PSS), CKR_MECHANISM_PARAM_INVALID);
  const CK_RSA_PKCS_PSS_PARAMS good{CKM_SHA256, CKG_MGF1_SHA256, 32};
  ASSERT_EQ(SignInit(session, key, CKM_RSA_PKCS_PSS, &good), CKR_OK);
  EXPECT_EQ(Sign(session, Bytes(31, 1), signature), CKR_DATA_LEN_RANGE);
}

TEST_F(SignTest, TheEnclavesRefusalsBecomeTheirCodes) {
  StartEnclave(KeyKind::kRsa2048);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  Bytes signature;
  ASSERT_EQ(SignInit(session, key, CKM_RSA_PKCS), CKR_OK);
  EXPECT_EQ(Sign(session, Bytes(36, 1), signature), CKR_DATA_INVALID);  // no DigestInfo
  ASSERT_EQ(SignInit(session, key, CKM_RSA_PKCS), CKR_OK);
  EXPECT_EQ(Sign(session, Bytes(246, 1), signature), CKR_DATA_LEN_RANGE);
  ASSERT_EQ(SignInit(session, key, CKM_SHA256_RSA_PKCS), CKR_OK);
  EXPECT_EQ(Sign(session, {}, signature), CKR_OK);  // the empty message
}

TEST_F(SignTest, OneSignatureIsOneRequest) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  ASSERT_EQ(SignEcdsaOnce(session, key, key_), CKR_OK);
  const auto generations = enclave_->requests("generation");
  for (int i = 0; i < 50; ++i) ASSERT_EQ(SignEcdsaOnce(session, key, key_), CKR_OK);
  EXPECT_EQ(enclave_->requests("sign"), 51U);
  EXPECT_EQ(enclave_->requests("login"), 1U);
  EXPECT_EQ(enclave_->requests("generation"), generations);
  EXPECT_EQ(enclave_->connections(), 1U);
}

}  // namespace
}  // namespace tlskeep::test
