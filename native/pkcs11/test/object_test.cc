// Searches and attributes.
#include <openssl/x509.h>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using ObjectTest = ModuleTest;

TEST_F(ObjectTest, PrivateKeysAreFoundByLoggedInUsersAlone) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = OpenSession();
  EXPECT_EQ(Find(session).size(), 3U);  // public key, leaf, CA
  EXPECT_EQ(FindOne(session, CKO_PRIVATE_KEY), CK_INVALID_HANDLE);
  LogIn();
  EXPECT_EQ(Find(session).size(), 4U);
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  ASSERT_NE(key, CK_INVALID_HANDLE);
  ASSERT_EQ(module_->C_Logout(session), CKR_OK);
  CK_ATTRIBUTE attribute{CKA_CLASS, nullptr, 0};
  EXPECT_EQ(module_->C_GetAttributeValue(session, key, &attribute, 1), CKR_OBJECT_HANDLE_INVALID);
}

TEST_F(ObjectTest, FindsByTemplateInPieces) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  Bytes id = Sha("SHA256", PublicKeyInfo(key_));
  CK_ATTRIBUTE by_id{CKA_ID, id.data(), id.size()};
  EXPECT_EQ(Find(session, {by_id}).size(), 3U);
  std::string label = kLabel;
  EXPECT_EQ(Find(session, {{CKA_LABEL, label.data(), label.size()}}).size(), 3U);
  EXPECT_EQ(Find(session, {ClassIs(CKO_CERTIFICATE)}).size(), 2U);
  EXPECT_EQ(Find(session, {ClassIs(CKO_CERTIFICATE), by_id}).size(), 1U);
  label = "we";
  EXPECT_TRUE(Find(session, {{CKA_LABEL, label.data(), label.size()}}).empty());
  CK_ULONG unknown = 1;
  EXPECT_TRUE(Find(session, {{CKA_VENDOR_DEFINED | 1, &unknown, sizeof unknown}}).empty());

  ASSERT_EQ(module_->C_FindObjectsInit(session, nullptr, 0), CKR_OK);
  EXPECT_EQ(module_->C_FindObjectsInit(session, nullptr, 0), CKR_OPERATION_ACTIVE);
  std::size_t total = 0;
  for (;;) {
    CK_OBJECT_HANDLE found[3];
    CK_ULONG count = 0;
    ASSERT_EQ(module_->C_FindObjects(session, found, 3, &count), CKR_OK);
    if (count == 0) break;
    total += count;
  }
  EXPECT_EQ(total, 4U);
  EXPECT_EQ(module_->C_FindObjectsFinal(session), CKR_OK);
  EXPECT_EQ(module_->C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
  CK_ATTRIBUTE null_value{CKA_ID, nullptr, 1};
  EXPECT_EQ(module_->C_FindObjectsInit(session, &null_value, 1), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_FindObjectsInit(session, nullptr, 1), CKR_ARGUMENTS_BAD);
}

TEST_F(ObjectTest, EveryAttributeOfATemplateIsAnswered) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  CK_OBJECT_CLASS object_class = 0;
  CK_BYTE short_label[2] = {'?', '?'};
  CK_BYTE secret[32];
  CK_BYTE modulus[512];
  CK_BBOOL sign = CK_FALSE;
  CK_ATTRIBUTE attributes[] = {
      {CKA_CLASS, &object_class, sizeof object_class},
      {CKA_LABEL, short_label, sizeof short_label},
      {CKA_VALUE, secret, sizeof secret},
      {CKA_MODULUS, modulus, sizeof modulus},
      {CKA_EC_PARAMS, nullptr, 0},
      {CKA_SIGN, &sign, sizeof sign},
  };
  const CK_RV rv = module_->C_GetAttributeValue(session, key, attributes, 6);
  EXPECT_TRUE(rv == CKR_BUFFER_TOO_SMALL || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID);
  EXPECT_EQ(object_class, CKO_PRIVATE_KEY);
  EXPECT_EQ(attributes[0].ulValueLen, sizeof object_class);
  EXPECT_EQ(attributes[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
  EXPECT_EQ(short_label[0], '?');
  EXPECT_EQ(attributes[2].ulValueLen, CK_UNAVAILABLE_INFORMATION);
  EXPECT_EQ(attributes[3].ulValueLen, CK_UNAVAILABLE_INFORMATION);
  EXPECT_EQ(attributes[4].ulValueLen, 10U);
  EXPECT_EQ(sign, CK_TRUE);
  struct Case {
    std::size_t index;
    CK_RV rv;
  };
  for (const Case c : {Case{1, CKR_BUFFER_TOO_SMALL}, {2, CKR_ATTRIBUTE_SENSITIVE}, {3, CKR_ATTRIBUTE_TYPE_INVALID}}) {
    CK_ATTRIBUTE alone = attributes[c.index];
    alone.ulValueLen = 1;
    EXPECT_EQ(module_->C_GetAttributeValue(session, key, &alone, 1), c.rv);
  }
  EXPECT_EQ(module_->C_GetAttributeValue(session, 9999, attributes, 1), CKR_OBJECT_HANDLE_INVALID);
  EXPECT_EQ(module_->C_GetAttributeValue(session, key, nullptr, 1), CKR_ARGUMENTS_BAD);
}

TEST_F(ObjectTest, AnEcKeyPairAndItsCertificate) {
  StartEnclave(KeyKind::kP384);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  const CK_OBJECT_HANDLE pub = FindOne(session, CKO_PUBLIC_KEY);
  EXPECT_EQ(Attribute(session, key, CKA_EC_PARAMS), (Bytes{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}));
  const Bytes point = Attribute(session, pub, CKA_EC_POINT);
  ASSERT_EQ(point.size(), 99U);
  EXPECT_EQ(point[0], 0x04);
  EXPECT_EQ(point[1], 97);
  EXPECT_EQ(point[2], 0x04);
  // The SubjectPublicKeyInfo ends with the same point.
  const Bytes info = PublicKeyInfo(key_);
  EXPECT_TRUE(std::equal(point.begin() + 2, point.end(), info.end() - 97));
  EXPECT_EQ(Attribute(session, key, CKA_PUBLIC_KEY_INFO), info);
  EXPECT_EQ(Attribute(session, key, CKA_ID), Sha("SHA256", info));
  EXPECT_EQ(Attribute(session, key, CKA_SENSITIVE), Bytes{1});
  EXPECT_EQ(Attribute(session, key, CKA_EXTRACTABLE), Bytes{0});
  EXPECT_EQ(Attribute(session, key, CKA_ALWAYS_AUTHENTICATE), Bytes{0});
  EXPECT_EQ(Attribute(session, key, CKA_DECRYPT), Bytes{0});
  EXPECT_EQ(Attribute(session, key, CKA_ALLOWED_MECHANISMS).size(), 4 * sizeof(CK_MECHANISM_TYPE));
  EXPECT_EQ(Attribute(session, pub, CKA_VERIFY), Bytes{1});

  const auto certificates = Find(session, {ClassIs(CKO_CERTIFICATE)});
  ASSERT_EQ(certificates.size(), 2U);
  const Bytes der = Attribute(session, certificates[0], CKA_VALUE);
  const unsigned char* position = der.data();
  X509* leaf = d2i_X509(nullptr, &position, static_cast<long>(der.size()));
  ASSERT_NE(leaf, nullptr);
  unsigned char* encoded = nullptr;
  int size = i2d_X509_NAME(X509_get_subject_name(leaf), &encoded);
  EXPECT_EQ(Attribute(session, certificates[0], CKA_SUBJECT), Bytes(encoded, encoded + size));
  EXPECT_EQ(Attribute(session, key, CKA_SUBJECT), Bytes(encoded, encoded + size));
  OPENSSL_free(encoded);
  encoded = nullptr;
  size = i2d_ASN1_INTEGER(X509_get_serialNumber(leaf), &encoded);
  EXPECT_EQ(Attribute(session, certificates[0], CKA_SERIAL_NUMBER), Bytes(encoded, encoded + size));
  OPENSSL_free(encoded);
  X509_free(leaf);
  Bytes check = Sha("SHA1", der);
  check.resize(3);
  EXPECT_EQ(Attribute(session, certificates[0], CKA_CHECK_VALUE), check);
  EXPECT_EQ(Attribute(session, certificates[1], CKA_ID).size(), 32U);
  EXPECT_EQ(Attribute(session, certificates[1], CKA_LABEL), ToBytes(AsBytes("web chain 1")));
}

TEST_F(ObjectTest, AnRsaKeyPair) {
  StartEnclave(KeyKind::kRsa2048);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE pub = FindOne(session, CKO_PUBLIC_KEY);
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  EXPECT_EQ(Attribute(session, pub, CKA_MODULUS).size(), 256U);
  EXPECT_EQ(Attribute(session, key, CKA_MODULUS), Attribute(session, pub, CKA_MODULUS));
  EXPECT_EQ(Attribute(session, key, CKA_PUBLIC_EXPONENT), (Bytes{1, 0, 1}));
  CK_ULONG bits = 0;
  CK_ATTRIBUTE attribute{CKA_MODULUS_BITS, &bits, sizeof bits};
  ASSERT_EQ(module_->C_GetAttributeValue(session, pub, &attribute, 1), CKR_OK);
  EXPECT_EQ(bits, 2048U);
  attribute = {CKA_PRIVATE_EXPONENT, nullptr, 0};
  EXPECT_EQ(module_->C_GetAttributeValue(session, key, &attribute, 1), CKR_ATTRIBUTE_SENSITIVE);
  CK_ULONG size = 0;
  EXPECT_EQ(module_->C_GetObjectSize(session, pub, &size), CKR_OK);
  EXPECT_GT(size, 512U);
}

TEST_F(ObjectTest, ARenewalShowsTheNewKeyAndKeepsTheOldHandle) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE old_key = FindOne(session, CKO_PRIVATE_KEY);
  FakeToken renewed = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  const Key new_verifier = renewed.key;
  enclave_->Provision(std::move(renewed));
  const auto found = Find(session, {ClassIs(CKO_PRIVATE_KEY), LabelIs(kLabel)});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0], old_key);
  EXPECT_EQ(Attribute(session, found[0], CKA_ID), Sha("SHA256", PublicKeyInfo(new_verifier)));
  // The old one is found by its own id, under the handle that it had.
  Bytes old_id = Sha("SHA256", PublicKeyInfo(key_));
  const auto old_found = Find(session, {ClassIs(CKO_PRIVATE_KEY), {CKA_ID, old_id.data(), old_id.size()}});
  EXPECT_EQ(old_found, std::vector<CK_OBJECT_HANDLE>{old_key});
  EXPECT_EQ(Attribute(session, old_key, CKA_LABEL), ToBytes(AsBytes("web retiring")));
  EXPECT_EQ(SignEcdsaOnce(session, found[0], new_verifier), CKR_OK);
  EXPECT_EQ(SignEcdsaOnce(session, old_key, key_), CKR_OK);
  // The second renewal retires the second key: the first one is gone, and that is known at once.
  enclave_->Provision(MakeFakeToken(kLabel, kPin, KeyKind::kP256));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(SignEcdsaOnce(session, old_key, key_), CKR_KEY_HANDLE_INVALID);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kDeadline / 2);
  EXPECT_EQ(SignEcdsaOnce(session, found[0], new_verifier), CKR_OK);
}

TEST_F(ObjectTest, AKeyIsFoundByItsIdBeforeWhileAndAfterItIsTheCurrentOne) {
  StartEnclave(KeyKind::kRsa2048);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  FakeToken renewal = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  const Key next = renewal.key;
  FakeToken staged = MakeFakeToken(kLabel, kPin, KeyKind::kRsa2048);
  staged.key = key_;
  staged.certificates.clear();
  staged.next = next;
  enclave_->Provision(std::move(staged));

  Bytes id = Sha("SHA256", PublicKeyInfo(next));
  const CK_ATTRIBUTE by_id{CKA_ID, id.data(), id.size()};
  const auto find_next = [&] { return Find(session, {ClassIs(CKO_PRIVATE_KEY), by_id}); };
  const auto found = find_next();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(Attribute(session, found[0], CKA_LABEL), ToBytes(AsBytes("web next")));
  EXPECT_EQ(SignEcdsaOnce(session, found[0], next), CKR_OK);
  // Whoever looks for the token's label is not shown it.
  EXPECT_EQ(Find(session, {ClassIs(CKO_PRIVATE_KEY), LabelIs(kLabel)}).size(), 1U);
  // The token's mechanisms are those of all its keys.
  CK_MECHANISM_INFO info{};
  for (const CK_MECHANISM_TYPE type : {CKM_RSA_PKCS, CKM_ECDSA}) {
    EXPECT_EQ(module_->C_GetMechanismInfo(FirstSlot(), type, &info), CKR_OK);
  }

  // What a consumer remembers of it finds it in every later state, in another process, too.
  const auto find_as = [&](std::string_view label) {
    return Find(session, {ClassIs(CKO_PRIVATE_KEY), by_id, LabelIs(label)});
  };
  const auto expect_found_as_ever = [&] {
    for (const char* label : {"web", "web next", "web retiring"}) EXPECT_EQ(find_as(label), found) << label;
    for (const char* label : {"", "we", "web next ", "web other"}) EXPECT_TRUE(find_as(label).empty()) << label;
  };
  expect_found_as_ever();
  EXPECT_TRUE(Find(session, {ClassIs(CKO_PRIVATE_KEY), LabelIs("web retiring")}).empty());

  enclave_->Provision(std::move(renewal));
  EXPECT_EQ(find_next(), found);
  expect_found_as_ever();
  EXPECT_EQ(Attribute(session, found[0], CKA_LABEL), ToBytes(AsBytes(kLabel)));
  enclave_->Provision(MakeFakeToken(kLabel, kPin, KeyKind::kP256));
  EXPECT_EQ(find_next(), found);
  EXPECT_EQ(Attribute(session, found[0], CKA_LABEL), ToBytes(AsBytes("web retiring")));
  expect_found_as_ever();
  EXPECT_EQ(SignEcdsaOnce(session, found[0], next), CKR_OK);
}

}  // namespace
}  // namespace tlskeep::test
