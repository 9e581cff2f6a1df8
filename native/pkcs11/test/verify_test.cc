// Every mechanism that signs: C_Sign under both policies, and C_Verify, which needs no enclave.
#include "mechanism_table.h"
#include "module_fixture.h"

namespace tlskeep::test {
namespace {

class VerifyTest : public ModuleTest, public testing::WithParamInterface<KeyKind> {
 protected:
  CK_RV VerifyInit(CK_SESSION_HANDLE session, SignatureMechanism& m, CK_OBJECT_HANDLE key) {
    CK_MECHANISM mechanism = m.Get();
    return module_->C_VerifyInit(session, &mechanism, key);
  }
  CK_RV Verify(CK_SESSION_HANDLE session, Bytes data, Bytes signature) {
    return module_->C_Verify(session, data.data(), data.size(), signature.data(), signature.size());
  }
};

TEST_P(VerifyTest, AcceptsWhatTheKeySignedAndNothingElse) {
  StartEnclave(GetParam());
  enclave_->SetGeneral(true);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  const CK_OBJECT_HANDLE pub = FindOne(session, CKO_PUBLIC_KEY);
  for (SignatureMechanism m : SignatureMechanismsOf(key_)) {
    SCOPED_TRACE(m.name);
    const Bytes message(1000, 0x42);
    const Bytes data = m.DataFor(message);
    CK_MECHANISM mechanism = m.Get();
    ASSERT_EQ(module_->C_SignInit(session, &mechanism, key), CKR_OK);
    Bytes signature;
    ASSERT_EQ(Sign(session, data, signature), CKR_OK);
    EXPECT_TRUE(m.Check(key_, message, signature));

    ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
    EXPECT_EQ(Verify(session, data, signature), CKR_OK);
    EXPECT_EQ(Verify(session, data, signature), CKR_OPERATION_NOT_INITIALIZED);
    Bytes other_data = data;
    other_data[data.size() / 4] ^= 1;  // ECDSA looks at the beginning of a long digest alone
    ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
    EXPECT_EQ(Verify(session, other_data, signature), CKR_SIGNATURE_INVALID);
    for (const std::size_t at : {std::size_t{0}, signature.size() / 2, signature.size() - 1}) {
      Bytes other = signature;
      other[at] ^= 0x40;
      ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
      EXPECT_EQ(Verify(session, data, other), CKR_SIGNATURE_INVALID) << at;
    }
    ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
    EXPECT_EQ(Verify(session, data, Bytes(signature.begin(), signature.end() - 1)), CKR_SIGNATURE_LEN_RANGE);
    ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
    EXPECT_EQ(Verify(session, data, {}), CKR_SIGNATURE_LEN_RANGE);
    for (const std::uint8_t fill : {std::uint8_t{0}, std::uint8_t{0xff}}) {
      ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
      EXPECT_EQ(Verify(session, data, Bytes(signature.size(), fill)), CKR_SIGNATURE_INVALID);
    }

    ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
    Bytes parts = data;
    if (!m.hashes) {
      EXPECT_EQ(module_->C_VerifyUpdate(session, parts.data(), parts.size()), CKR_OPERATION_NOT_INITIALIZED);
      ASSERT_EQ(VerifyInit(session, m, pub), CKR_OK);
      EXPECT_EQ(module_->C_VerifyFinal(session, signature.data(), signature.size()), CKR_OPERATION_NOT_INITIALIZED);
      continue;
    }
    ASSERT_EQ(module_->C_VerifyUpdate(session, parts.data(), 1), CKR_OK);
    ASSERT_EQ(module_->C_VerifyUpdate(session, parts.data() + 1, parts.size() - 1), CKR_OK);
    EXPECT_EQ(module_->C_VerifyFinal(session, signature.data(), signature.size()), CKR_OK);
    // And signing in parts.
    ASSERT_EQ(module_->C_SignInit(session, &mechanism, key), CKR_OK);
    ASSERT_EQ(module_->C_SignUpdate(session, parts.data(), 1), CKR_OK);
    ASSERT_EQ(module_->C_SignUpdate(session, parts.data() + 1, parts.size() - 1), CKR_OK);
    CK_ULONG size = signature.size();
    ASSERT_EQ(module_->C_SignFinal(session, signature.data(), &size), CKR_OK);
    EXPECT_TRUE(m.Check(key_, message, signature));
  }
}

TEST_P(VerifyTest, TlsServerRefusesTheWeakOnesAndVerifiesThem) {
  StartEnclave(GetParam());
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  const CK_OBJECT_HANDLE pub = FindOne(session, CKO_PUBLIC_KEY);
  for (SignatureMechanism m : SignatureMechanismsOf(key_)) {
    SCOPED_TRACE(m.name);
    CK_MECHANISM mechanism = m.Get();
    const CK_RV rv = module_->C_SignInit(session, &mechanism, key);
    EXPECT_EQ(rv, m.general_only);
    if (rv == CKR_OK) {
      Bytes signature;
      EXPECT_EQ(Sign(session, m.DataFor(Bytes(10, 1)), signature), m.general_only_sign);
    }
    EXPECT_EQ(VerifyInit(session, m, pub), CKR_OK);
    EXPECT_EQ(module_->C_VerifyInit(session, nullptr, 0), CKR_OK);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, VerifyTest,
                         testing::Values(KeyKind::kRsa2048, KeyKind::kP256, KeyKind::kP384, KeyKind::kEd25519),
                         [](const auto& tested) { return KeyKindName(tested.param); });

using VerifyRulesTest = VerifyTest;

TEST_F(VerifyRulesTest, KeysAndLengths) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  CK_MECHANISM ecdsa{CKM_ECDSA, nullptr, 0};
  CK_MECHANISM rsa{CKM_RSA_PKCS, nullptr, 0};
  CK_MECHANISM digest{CKM_SHA256, nullptr, 0};
  const CK_OBJECT_HANDLE pub = FindOne(session, CKO_PUBLIC_KEY);
  EXPECT_EQ(module_->C_VerifyInit(session, &ecdsa, FindOne(session, CKO_PRIVATE_KEY)), CKR_KEY_FUNCTION_NOT_PERMITTED);
  EXPECT_EQ(module_->C_VerifyInit(session, &ecdsa, FindOne(session, CKO_CERTIFICATE)), CKR_KEY_HANDLE_INVALID);
  EXPECT_EQ(module_->C_VerifyInit(session, &rsa, pub), CKR_KEY_TYPE_INCONSISTENT);
  EXPECT_EQ(module_->C_VerifyInit(session, &digest, pub), CKR_MECHANISM_INVALID);
  ASSERT_EQ(module_->C_Logout(session), CKR_OK);
  // A public key needs no login.
  for (const std::size_t size : {0UL, 19UL, 65UL}) {
    ASSERT_EQ(module_->C_VerifyInit(session, &ecdsa, pub), CKR_OK);
    EXPECT_EQ(Verify(session, Bytes(size, 1), Bytes(64, 1)), CKR_DATA_LEN_RANGE) << size;
  }
  ASSERT_EQ(module_->C_VerifyInit(session, &ecdsa, pub), CKR_OK);
  EXPECT_EQ(module_->C_VerifyInit(session, &ecdsa, pub), CKR_OPERATION_ACTIVE);
  CK_BYTE data[32] = {};
  EXPECT_EQ(module_->C_Verify(session, data, sizeof data, nullptr, 64), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(enclave_->requests("sign"), 0U);
}

}  // namespace
}  // namespace tlskeep::test
