// C_Encrypt, here, and C_Decrypt, in an enclave under the policy `general`.
#include "module_fixture.h"

namespace tlskeep::test {
namespace {

class CipherTest : public ModuleTest {
 protected:
  void Begin(bool general) {
    StartEnclave(KeyKind::kRsa2048);
    enclave_->SetGeneral(general);
    Initialize();
    session_ = LogIn();
    private_ = FindOne(session_, CKO_PRIVATE_KEY);
    public_ = FindOne(session_, CKO_PUBLIC_KEY);
  }
  CK_RV EncryptInit(CK_MECHANISM mechanism) { return module_->C_EncryptInit(session_, &mechanism, public_); }
  CK_RV DecryptInit(CK_MECHANISM mechanism) { return module_->C_DecryptInit(session_, &mechanism, private_); }
  CK_RV Encrypt(Bytes data, Bytes& encrypted) {
    encrypted.assign(256, 0);
    CK_ULONG size = encrypted.size();
    return module_->C_Encrypt(session_, data.data(), data.size(), encrypted.data(), &size);
  }
  CK_RV Decrypt(Bytes encrypted, Bytes& data, CK_ULONG room = 256) {
    data.assign(room, 0xee);
    CK_ULONG size = room;
    const CK_RV rv = module_->C_Decrypt(session_, encrypted.data(), encrypted.size(), data.data(), &size);
    given_ = size;
    if (rv == CKR_OK) data.resize(size);
    return rv;
  }

  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE private_ = 0;
  CK_OBJECT_HANDLE public_ = 0;
  CK_ULONG given_ = 0;
  Bytes label_ = {'l', 'a', 'b', 'e', 'l'};
  CK_RSA_PKCS_OAEP_PARAMS sha1_{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0};
  CK_RSA_PKCS_OAEP_PARAMS sha256_{CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, label_.data(), label_.size()};
  CK_RSA_PKCS_OAEP_PARAMS mixed_{CKM_SHA512, CKG_MGF1_SHA224, 0, nullptr, 0};
};

TEST_F(CipherTest, WhatIsEncryptedHereIsDecryptedThere) {
  Begin(true);
  struct Case {
    const char* name;
    CK_MECHANISM mechanism;
    RsaPadding padding;
    std::size_t longest;
  };
  const Case cases[] = {
      {"RSA_PKCS", {CKM_RSA_PKCS, nullptr, 0}, {"RSA_PKCS", {}, {}, {}}, 245},
      {"OAEP, SHA-1", {CKM_RSA_PKCS_OAEP, &sha1_, sizeof sha1_}, {"RSA_PKCS_OAEP", "SHA1", "SHA1", {}}, 214},
      {"OAEP, SHA-256, label", {CKM_RSA_PKCS_OAEP, &sha256_, sizeof sha256_},
       {"RSA_PKCS_OAEP", "SHA256", "SHA256", label_}, 190},
      {"OAEP, SHA-512, MGF1 with SHA-224", {CKM_RSA_PKCS_OAEP, &mixed_, sizeof mixed_},
       {"RSA_PKCS_OAEP", "SHA512", "SHA224", {}}, 126},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    for (const std::size_t size : {std::size_t{0}, std::size_t{48}, c.longest}) {
      const Bytes data(size, 0x17);
      Bytes encrypted;
      ASSERT_EQ(EncryptInit(c.mechanism), CKR_OK);
      ASSERT_EQ(Encrypt(data, encrypted), CKR_OK);
      EXPECT_EQ(DecryptRsa(key_, c.padding, encrypted), data);
      Bytes plain;
      ASSERT_EQ(DecryptInit(c.mechanism), CKR_OK);
      ASSERT_EQ(Decrypt(encrypted, plain), CKR_OK);
      EXPECT_EQ(plain, data);
    }
    Bytes encrypted;
    ASSERT_EQ(EncryptInit(c.mechanism), CKR_OK);
    EXPECT_EQ(Encrypt(Bytes(c.longest + 1, 1), encrypted), CKR_DATA_LEN_RANGE);
    Bytes plain;
    for (const std::size_t size : {std::size_t{0}, std::size_t{255}, std::size_t{257}}) {
      ASSERT_EQ(DecryptInit(c.mechanism), CKR_OK);
      EXPECT_EQ(Decrypt(Bytes(size, 1), plain), CKR_ENCRYPTED_DATA_LEN_RANGE);
    }
  }
}

TEST_F(CipherTest, RawRsaPadsWithZeros) {
  Begin(true);
  const CK_MECHANISM raw{CKM_RSA_X_509, nullptr, 0};
  Bytes encrypted;
  Bytes plain;
  ASSERT_EQ(EncryptInit(raw), CKR_OK);
  ASSERT_EQ(Encrypt({1, 2, 3}, encrypted), CKR_OK);
  ASSERT_EQ(DecryptInit(raw), CKR_OK);
  ASSERT_EQ(Decrypt(encrypted, plain), CKR_OK);
  Bytes expected(256, 0);
  expected[253] = 1;
  expected[254] = 2;
  expected[255] = 3;
  EXPECT_EQ(plain, expected);
  ASSERT_EQ(EncryptInit(raw), CKR_OK);
  EXPECT_EQ(Encrypt(Bytes(256, 0xff), encrypted), CKR_DATA_INVALID);  // not below the modulus
  ASSERT_EQ(EncryptInit(raw), CKR_OK);
  EXPECT_EQ(Encrypt(Bytes(257, 0), encrypted), CKR_DATA_LEN_RANGE);
}

TEST_F(CipherTest, APlaintextWaitsForABufferThatHoldsIt) {
  Begin(true);
  const CK_MECHANISM oaep{CKM_RSA_PKCS_OAEP, &sha256_, sizeof sha256_};
  Bytes encrypted;
  Bytes plain;
  ASSERT_EQ(EncryptInit(oaep), CKR_OK);
  ASSERT_EQ(Encrypt(Bytes(48, 9), encrypted), CKR_OK);
  ASSERT_EQ(DecryptInit(oaep), CKR_OK);
  CK_ULONG size = 0;
  ASSERT_EQ(module_->C_Decrypt(session_, encrypted.data(), encrypted.size(), nullptr, &size), CKR_OK);
  EXPECT_EQ(size, 256U);  // enough for any
  EXPECT_EQ(enclave_->requests("decrypt"), 0U);
  EXPECT_EQ(Decrypt(encrypted, plain, 47), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(given_, 48U);
  EXPECT_EQ(plain, Bytes(47, 0xee));
  EXPECT_EQ(Decrypt(encrypted, plain, 48), CKR_OK);
  EXPECT_EQ(plain, Bytes(48, 9));
  EXPECT_EQ(enclave_->requests("decrypt"), 1U);
  EXPECT_EQ(Decrypt(encrypted, plain), CKR_OPERATION_NOT_INITIALIZED);
}

TEST_F(CipherTest, BadPaddingIsInvalidData) {
  Begin(true);
  const CK_MECHANISM oaep{CKM_RSA_PKCS_OAEP, &sha256_, sizeof sha256_};
  const CK_MECHANISM other{CKM_RSA_PKCS_OAEP, &sha1_, sizeof sha1_};
  Bytes encrypted;
  Bytes plain;
  ASSERT_EQ(EncryptInit(oaep), CKR_OK);
  ASSERT_EQ(Encrypt(Bytes(48, 9), encrypted), CKR_OK);
  ASSERT_EQ(DecryptInit(other), CKR_OK);
  EXPECT_EQ(Decrypt(encrypted, plain), CKR_ENCRYPTED_DATA_INVALID);
}

TEST_F(CipherTest, ChecksTheParametersOfOaep) {
  Begin(true);
  CK_RSA_PKCS_OAEP_PARAMS bad_hash = sha256_;
  bad_hash.hashAlg = CKM_MD5;
  CK_RSA_PKCS_OAEP_PARAMS bad_mgf = sha256_;
  bad_mgf.mgf = 99;
  CK_RSA_PKCS_OAEP_PARAMS bad_source = sha256_;
  bad_source.source = 2;
  CK_RSA_PKCS_OAEP_PARAMS no_source = sha256_;
  no_source.source = 0;  // with a label
  CK_RSA_PKCS_OAEP_PARAMS no_label = sha256_;
  no_label.pSourceData = nullptr;
  CK_RSA_PKCS_OAEP_PARAMS long_label = sha256_;
  Bytes label(1025, 1);
  long_label.pSourceData = label.data();
  long_label.ulSourceDataLen = label.size();
  for (CK_RSA_PKCS_OAEP_PARAMS* parameter : {&bad_hash, &bad_mgf, &bad_source, &no_source, &no_label, &long_label}) {
    const CK_MECHANISM mechanism{CKM_RSA_PKCS_OAEP, parameter, sizeof *parameter};
    EXPECT_EQ(EncryptInit(mechanism), CKR_MECHANISM_PARAM_INVALID);
    EXPECT_EQ(DecryptInit(mechanism), CKR_MECHANISM_PARAM_INVALID);
  }
  EXPECT_EQ(EncryptInit({CKM_RSA_PKCS_OAEP, nullptr, 0}), CKR_MECHANISM_PARAM_INVALID);
  EXPECT_EQ(EncryptInit({CKM_RSA_PKCS_OAEP, &sha256_, sizeof sha256_ - 1}), CKR_MECHANISM_PARAM_INVALID);
  EXPECT_EQ(EncryptInit({CKM_RSA_PKCS, &sha256_, sizeof sha256_}), CKR_MECHANISM_PARAM_INVALID);
}

TEST_F(CipherTest, TlsServerEncryptsAndDoesNotDecrypt) {
  Begin(false);
  const CK_MECHANISM pkcs{CKM_RSA_PKCS, nullptr, 0};
  EXPECT_EQ(Attribute(session_, private_, CKA_DECRYPT), Bytes{0});
  EXPECT_EQ(Attribute(session_, public_, CKA_ENCRYPT), Bytes{1});
  EXPECT_EQ(DecryptInit(pkcs), CKR_MECHANISM_INVALID);
  Bytes encrypted;
  ASSERT_EQ(EncryptInit(pkcs), CKR_OK);
  ASSERT_EQ(Encrypt({1}, encrypted), CKR_OK);
  EXPECT_EQ(DecryptRsa(key_, {"RSA_PKCS", {}, {}, {}}, encrypted), Bytes{1});
}

TEST_F(CipherTest, DecryptionNeedsALogin) {
  Begin(true);
  EXPECT_EQ(Attribute(session_, private_, CKA_DECRYPT), Bytes{1});
  const CK_MECHANISM pkcs{CKM_RSA_PKCS, nullptr, 0};
  ASSERT_EQ(DecryptInit(pkcs), CKR_OK);
  ASSERT_EQ(module_->C_Logout(session_), CKR_OK);
  Bytes plain;
  EXPECT_EQ(Decrypt(Bytes(256, 1), plain), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(DecryptInit(pkcs), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(EncryptInit(pkcs), CKR_OK);
}

}  // namespace
}  // namespace tlskeep::test
