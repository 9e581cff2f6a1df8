// C_GetMechanismList and C_GetMechanismInfo: true to what works, key by key and policy by policy.
#include <algorithm>
#include <functional>
#include <utility>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

constexpr CK_FLAGS kSign = CKF_SIGN;
constexpr CK_FLAGS kVerify = CKF_VERIFY;
constexpr CK_FLAGS kEncrypt = CKF_ENCRYPT;
constexpr CK_FLAGS kDecrypt = CKF_DECRYPT;
constexpr CK_FLAGS kCurve = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;

struct Row {
  CK_MECHANISM_TYPE type;
  CK_FLAGS tls_server;
  CK_FLAGS general;
};

const std::vector<Row> kRsa = {
    {CKM_RSA_PKCS, kSign | kVerify | kEncrypt, kSign | kVerify | kEncrypt | kDecrypt},
    {CKM_SHA1_RSA_PKCS, kVerify, kSign | kVerify},
    {CKM_SHA224_RSA_PKCS, kVerify, kSign | kVerify},
    {CKM_SHA256_RSA_PKCS, kSign | kVerify, kSign | kVerify},
    {CKM_SHA384_RSA_PKCS, kSign | kVerify, kSign | kVerify},
    {CKM_SHA512_RSA_PKCS, kSign | kVerify, kSign | kVerify},
    {CKM_RSA_PKCS_PSS, kSign | kVerify, kSign | kVerify},
    {CKM_SHA1_RSA_PKCS_PSS, kVerify, kSign | kVerify},
    {CKM_SHA224_RSA_PKCS_PSS, kVerify, kSign | kVerify},
    {CKM_SHA256_RSA_PKCS_PSS, kSign | kVerify, kSign | kVerify},
    {CKM_SHA384_RSA_PKCS_PSS, kSign | kVerify, kSign | kVerify},
    {CKM_SHA512_RSA_PKCS_PSS, kSign | kVerify, kSign | kVerify},
    {CKM_RSA_PKCS_OAEP, kEncrypt, kEncrypt | kDecrypt},
    {CKM_RSA_X_509, kVerify | kEncrypt, kSign | kVerify | kEncrypt | kDecrypt},
};
const std::vector<Row> kEc = {
    {CKM_ECDSA, kSign | kVerify | kCurve, kSign | kVerify | kCurve},
    {CKM_ECDSA_SHA1, kVerify | kCurve, kSign | kVerify | kCurve},
    {CKM_ECDSA_SHA224, kVerify | kCurve, kSign | kVerify | kCurve},
    {CKM_ECDSA_SHA256, kSign | kVerify | kCurve, kSign | kVerify | kCurve},
    {CKM_ECDSA_SHA384, kSign | kVerify | kCurve, kSign | kVerify | kCurve},
    {CKM_ECDSA_SHA512, kSign | kVerify | kCurve, kSign | kVerify | kCurve},
};
const std::vector<Row> kEdwards = {
    {CKM_EDDSA, kSign | kVerify | CKF_EC_F_P | CKF_EC_CURVENAME, kSign | kVerify | CKF_EC_F_P | CKF_EC_CURVENAME},
};
const std::vector<Row> kDigests = {
    {CKM_SHA_1, CKF_DIGEST, CKF_DIGEST},   {CKM_SHA224, CKF_DIGEST, CKF_DIGEST}, {CKM_SHA256, CKF_DIGEST, CKF_DIGEST},
    {CKM_SHA384, CKF_DIGEST, CKF_DIGEST}, {CKM_SHA512, CKF_DIGEST, CKF_DIGEST},
};

const std::vector<Row>& RowsOf(KeyKind kind) {
  if (kind == KeyKind::kEd25519) return kEdwards;
  return kind == KeyKind::kP256 || kind == KeyKind::kP384 ? kEc : kRsa;
}

bool IsOf(const std::vector<Row>& rows, CK_MECHANISM_TYPE type) {
  return std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.type == type; });
}

struct Case {
  KeyKind kind;
  const std::vector<Row>* rows;
  CK_ULONG smallest;
  CK_ULONG largest;
};

class MechanismTest : public ModuleTest, public testing::WithParamInterface<bool> {};

TEST_P(MechanismTest, ListAndInfoSayWhatWorks) {
  const bool general = GetParam();
  const Case cases[] = {{KeyKind::kRsa2048, &kRsa, 2048, 4096},
                        {KeyKind::kP256, &kEc, 256, 384},
                        {KeyKind::kEd25519, &kEdwards, 255, 255}};
  for (const Case& c : cases) {
    SCOPED_TRACE(KeyKindName(c.kind));
    StartEnclave(c.kind);
    enclave_->SetGeneral(general);
    Initialize();
    const CK_SLOT_ID slot = FirstSlot();
    struct Expected {
      CK_MECHANISM_TYPE type;
      CK_FLAGS flags;
      CK_ULONG smallest;
      CK_ULONG largest;
    };
    std::vector<Expected> expected;
    for (const Row& row : *c.rows) {
      expected.push_back({row.type, general ? row.general : row.tls_server, c.smallest, c.largest});
    }
    // Keys of the other types may come by a renewal: with what every policy admits.
    for (const Case& other : cases) {
      if (other.rows == c.rows) continue;
      for (const Row& row : *other.rows) {
        expected.push_back({row.type, row.tls_server, other.smallest, other.largest});
      }
    }
    for (const Row& row : kDigests) expected.push_back({row.type, CKF_DIGEST, 0, 0});
    CK_ULONG count = 0;
    ASSERT_EQ(module_->C_GetMechanismList(slot, nullptr, &count), CKR_OK);
    std::vector<CK_MECHANISM_TYPE> types(count);
    ASSERT_EQ(module_->C_GetMechanismList(slot, types.data(), &count), CKR_OK);
    ASSERT_EQ(types.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(types[i], expected[i].type);
      CK_MECHANISM_INFO info{};
      ASSERT_EQ(module_->C_GetMechanismInfo(slot, types[i], &info), CKR_OK);
      EXPECT_EQ(info.flags, expected[i].flags) << "mechanism " << types[i];
      EXPECT_EQ(info.ulMinKeySize, expected[i].smallest);
      EXPECT_EQ(info.ulMaxKeySize, expected[i].largest);
    }
    CK_MECHANISM_INFO info{};
    for (const CK_MECHANISM_TYPE type : {CKM_AES_GCM, CKM_RSA_PKCS_KEY_PAIR_GEN}) {
      EXPECT_EQ(module_->C_GetMechanismInfo(slot, type, &info), CKR_MECHANISM_INVALID);
    }
    EXPECT_EQ(module_->C_GetMechanismInfo(slot, CKM_SHA256, nullptr), CKR_ARGUMENTS_BAD);
    EXPECT_EQ(module_->C_GetMechanismInfo(99, CKM_SHA256, &info), CKR_SLOT_ID_INVALID);
    ASSERT_EQ(module_->C_Finalize(nullptr), CKR_OK);
    enclave_.reset();
  }
}

// The parameter that a mechanism takes, or an empty one.
struct Parameter {
  explicit Parameter(CK_MECHANISM_TYPE type) : mechanism{type, nullptr, 0} {
    for (const auto& [pss_type, params] : kPss) {
      if (pss_type == type) mechanism = {type, &(pss = params), sizeof pss};
    }
    if (type == CKM_RSA_PKCS_OAEP) mechanism = {type, &oaep, sizeof oaep};
  }
  static constexpr std::pair<CK_MECHANISM_TYPE, CK_RSA_PKCS_PSS_PARAMS> kPss[] = {
      {CKM_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 32}},
      {CKM_SHA1_RSA_PKCS_PSS, {CKM_SHA_1, CKG_MGF1_SHA1, 20}},
      {CKM_SHA224_RSA_PKCS_PSS, {CKM_SHA224, CKG_MGF1_SHA224, 28}},
      {CKM_SHA256_RSA_PKCS_PSS, {CKM_SHA256, CKG_MGF1_SHA256, 32}},
      {CKM_SHA384_RSA_PKCS_PSS, {CKM_SHA384, CKG_MGF1_SHA384, 48}},
      {CKM_SHA512_RSA_PKCS_PSS, {CKM_SHA512, CKG_MGF1_SHA512, 64}},
  };
  CK_RSA_PKCS_PSS_PARAMS pss{};
  CK_RSA_PKCS_OAEP_PARAMS oaep{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0};
  CK_MECHANISM mechanism;
};

// What C_GetMechanismInfo says of a use, the use's Init function says too: of every mechanism for the key, and
// of none that is for keys of another type.
TEST_P(MechanismTest, WhatInfoShowsBeginsAndNothingElse) {
  std::vector<CK_MECHANISM_TYPE> types = {CKM_AES_GCM, CKM_MD5_RSA_PKCS};
  for (const auto* rows : {&kRsa, &kEc, &kEdwards, &kDigests}) {
    for (const Row& row : *rows) types.push_back(row.type);
  }
  for (const KeyKind kind : {KeyKind::kRsa2048, KeyKind::kP256, KeyKind::kP384, KeyKind::kEd25519}) {
    StartEnclave(kind);
    enclave_->SetGeneral(GetParam());
    Initialize();
    const CK_SESSION_HANDLE session = LogIn();
    const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
    const CK_OBJECT_HANDLE pub = FindOne(session, CKO_PUBLIC_KEY);
    struct Use {
      CK_FLAGS flag;
      std::function<CK_RV(CK_MECHANISM*)> begin;
    };
    const Use uses[] = {
        {CKF_SIGN, [&](CK_MECHANISM* m) { return module_->C_SignInit(session, m, key); }},
        {CKF_VERIFY, [&](CK_MECHANISM* m) { return module_->C_VerifyInit(session, m, pub); }},
        {CKF_ENCRYPT, [&](CK_MECHANISM* m) { return module_->C_EncryptInit(session, m, pub); }},
        {CKF_DECRYPT, [&](CK_MECHANISM* m) { return module_->C_DecryptInit(session, m, key); }},
        {CKF_DIGEST, [&](CK_MECHANISM* m) { return module_->C_DigestInit(session, m); }},
    };
    for (const CK_MECHANISM_TYPE type : types) {
      Parameter parameter(type);
      CK_MECHANISM_INFO info{};
      static_cast<void>(module_->C_GetMechanismInfo(FirstSlot(), type, &info));  // no flags, if there is none
      const bool fits = IsOf(kDigests, type) || IsOf(RowsOf(kind), type);
      for (const Use& use : uses) {
        const CK_RV rv = use.begin(&parameter.mechanism);
        EXPECT_EQ(rv == CKR_OK, fits && (info.flags & use.flag) != 0)
            << KeyKindName(kind) << ", mechanism " << type << ", use " << use.flag << ": " << rv;
        if (rv == CKR_OK) {
          EXPECT_EQ(use.begin(nullptr), CKR_OK);  // ends it
        }
      }
    }
    ASSERT_EQ(module_->C_Finalize(nullptr), CKR_OK);
    enclave_.reset();
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, MechanismTest, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "General" : "TlsServer"; });

using FirstEditionTest = ModuleTest;

TEST_F(FirstEditionTest, AServiceOfTheFirstEditionSignsWithSha2) {
  StartEnclave(KeyKind::kRsa2048);
  enclave_->SetFirstEdition(true);
  Initialize();
  const CK_SLOT_ID slot = FirstSlot();
  for (const Row& row : kRsa) {
    CK_MECHANISM_INFO info{};
    ASSERT_EQ(module_->C_GetMechanismInfo(slot, row.type, &info), CKR_OK);
    EXPECT_EQ(info.flags, row.tls_server) << row.type;
  }
}

}  // namespace
}  // namespace tlskeep::test
