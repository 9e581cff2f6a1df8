// C_Digest*: here, without the enclave.
#include "module_fixture.h"

namespace tlskeep::test {
namespace {

struct Case {
  CK_MECHANISM_TYPE type;
  const char* name;
  CK_ULONG bytes;
};
constexpr Case kCases[] = {{CKM_SHA_1, "SHA1", 20},
                           {CKM_SHA224, "SHA224", 28},
                           {CKM_SHA256, "SHA256", 32},
                           {CKM_SHA384, "SHA384", 48},
                           {CKM_SHA512, "SHA512", 64}};

class DigestTest : public ModuleTest {
 protected:
  void SetUp() override {
    StartEnclave();
    Initialize();
    session_ = OpenSession();
  }
  CK_RV Init(CK_MECHANISM_TYPE type) {
    CK_MECHANISM mechanism{type, nullptr, 0};
    return module_->C_DigestInit(session_, &mechanism);
  }
  CK_SESSION_HANDLE session_ = 0;
};

TEST_F(DigestTest, DigestsInOnePartAndInMany) {
  Bytes message(100'000, 0x42);
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Bytes expected = Sha(c.name, message);
    Bytes digest(64);
    CK_ULONG size = digest.size();
    ASSERT_EQ(Init(c.type), CKR_OK);
    ASSERT_EQ(module_->C_Digest(session_, message.data(), message.size(), digest.data(), &size), CKR_OK);
    EXPECT_EQ(size, c.bytes);
    digest.resize(size);
    EXPECT_EQ(digest, expected);
    ASSERT_EQ(Init(c.type), CKR_OK);
    ASSERT_EQ(module_->C_DigestUpdate(session_, message.data(), 7), CKR_OK);
    ASSERT_EQ(module_->C_DigestUpdate(session_, nullptr, 0), CKR_OK);
    ASSERT_EQ(module_->C_DigestUpdate(session_, message.data() + 7, message.size() - 7), CKR_OK);
    // The buffer rules: a query, a short buffer, and then the digest.
    ASSERT_EQ(module_->C_DigestFinal(session_, nullptr, &size), CKR_OK);
    EXPECT_EQ(size, c.bytes);
    size = c.bytes - 1;
    ASSERT_EQ(module_->C_DigestFinal(session_, digest.data(), &size), CKR_BUFFER_TOO_SMALL);
    EXPECT_EQ(size, c.bytes);
    ASSERT_EQ(module_->C_DigestFinal(session_, digest.data(), &size), CKR_OK);
    EXPECT_EQ(digest, expected);
    EXPECT_EQ(module_->C_DigestFinal(session_, digest.data(), &size), CKR_OPERATION_NOT_INITIALIZED);
    // Nothing at all.
    ASSERT_EQ(Init(c.type), CKR_OK);
    ASSERT_EQ(module_->C_Digest(session_, nullptr, 0, digest.data(), &size), CKR_OK);
    EXPECT_EQ(digest, Sha(c.name, {}));
  }
}

TEST_F(DigestTest, RefusesMisuse) {
  CK_BYTE byte = 1;
  CK_BYTE digest[64];
  CK_ULONG size = sizeof digest;
  EXPECT_EQ(Init(CKM_RSA_PKCS), CKR_MECHANISM_INVALID);
  EXPECT_EQ(Init(CKM_MD5), CKR_MECHANISM_INVALID);
  CK_MECHANISM with_parameter{CKM_SHA256, &byte, 1};
  EXPECT_EQ(module_->C_DigestInit(session_, &with_parameter), CKR_MECHANISM_PARAM_INVALID);
  CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
  EXPECT_EQ(module_->C_DigestInit(99, &mechanism), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(module_->C_Digest(session_, &byte, 1, digest, &size), CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(module_->C_DigestUpdate(session_, &byte, 1), CKR_OPERATION_NOT_INITIALIZED);
  ASSERT_EQ(Init(CKM_SHA256), CKR_OK);
  EXPECT_EQ(Init(CKM_SHA256), CKR_OPERATION_ACTIVE);
  EXPECT_EQ(module_->C_DigestUpdate(session_, nullptr, 1), CKR_ARGUMENTS_BAD);  // which ends it
  EXPECT_EQ(module_->C_DigestFinal(session_, digest, &size), CKR_OPERATION_NOT_INITIALIZED);
  ASSERT_EQ(Init(CKM_SHA256), CKR_OK);
  ASSERT_EQ(module_->C_DigestUpdate(session_, &byte, 1), CKR_OK);
  EXPECT_EQ(module_->C_Digest(session_, &byte, 1, digest, &size), CKR_OPERATION_NOT_INITIALIZED);
  ASSERT_EQ(Init(CKM_SHA256), CKR_OK);
  EXPECT_EQ(module_->C_DigestKey(session_, FindOne(session_, CKO_PUBLIC_KEY)), CKR_KEY_INDIGESTIBLE);
  EXPECT_EQ(module_->C_DigestKey(session_, 1), CKR_OPERATION_NOT_INITIALIZED);
  ASSERT_EQ(Init(CKM_SHA256), CKR_OK);
  EXPECT_EQ(module_->C_DigestKey(session_, 99), CKR_KEY_HANDLE_INVALID);
}

TEST_F(DigestTest, WorksWithoutTheEnclave) {
  enclave_.reset();
  Bytes message(10, 1);
  Bytes digest(32);
  CK_ULONG size = digest.size();
  ASSERT_EQ(Init(CKM_SHA256), CKR_OK);
  ASSERT_EQ(module_->C_Digest(session_, message.data(), message.size(), digest.data(), &size), CKR_OK);
  EXPECT_EQ(digest, Sha("SHA256", message));
}

}  // namespace
}  // namespace tlskeep::test
