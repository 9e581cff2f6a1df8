// Interfaces of PKCS #11 v3.0, and its functions that this module has or refuses.
#include <dlfcn.h>

#include <cstring>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

class InterfaceTest : public ModuleTest {
 protected:
  InterfaceTest() {
    CK_INTERFACE* found = nullptr;
    CK_VERSION version{3, 0};
    EXPECT_EQ(Get()(Name(), &version, &found, 0), CKR_OK);
    functions_ = static_cast<CK_FUNCTION_LIST_3_0*>(found->pFunctionList);
  }
  static CK_UTF8CHAR_PTR Name() {
    static unsigned char name[] = "PKCS 11";
    return name;
  }
  template <typename Function>
  Function Symbol(const char* name) {
    return reinterpret_cast<Function>(module_.Symbol(name));
  }
  decltype(&C_GetInterface) Get() { return Symbol<decltype(&C_GetInterface)>("C_GetInterface"); }

  CK_FUNCTION_LIST_3_0* functions_ = nullptr;
};

TEST_F(InterfaceTest, ListsBothVersions) {
  const auto list = Symbol<decltype(&C_GetInterfaceList)>("C_GetInterfaceList");
  CK_ULONG count = 0;
  EXPECT_EQ(list(nullptr, nullptr), CKR_ARGUMENTS_BAD);
  ASSERT_EQ(list(nullptr, &count), CKR_OK);
  ASSERT_EQ(count, 2U);
  CK_INTERFACE interfaces[2] = {};
  count = 1;
  EXPECT_EQ(list(interfaces, &count), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, 2U);
  ASSERT_EQ(list(interfaces, &count), CKR_OK);
  const CK_VERSION versions[] = {{3, 0}, {2, 40}};
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_STREQ(reinterpret_cast<const char*>(interfaces[i].pInterfaceName), "PKCS 11");
    const auto* version = static_cast<const CK_VERSION*>(interfaces[i].pFunctionList);
    EXPECT_EQ(version->major, versions[i].major);
    EXPECT_EQ(version->minor, versions[i].minor);
    EXPECT_EQ(interfaces[i].flags, CKF_INTERFACE_FORK_SAFE);
  }
}

TEST_F(InterfaceTest, FindsByNameVersionAndFlags) {
  unsigned char vendor[] = "Vendor X";
  struct Case {
    const char* what;
    CK_UTF8CHAR_PTR name;
    CK_VERSION version;  // major 0: none asked for
    CK_FLAGS flags;
    CK_RV rv;
    int major;
  };
  const Case cases[] = {
      {"the default", nullptr, {0, 0}, 0, CKR_OK, 3},
      {"by name", Name(), {0, 0}, 0, CKR_OK, 3},
      {"2.40", Name(), {2, 40}, 0, CKR_OK, 2},
      {"2.40 without a name", nullptr, {2, 40}, 0, CKR_OK, 2},
      {"3.0, fork safe", Name(), {3, 0}, CKF_INTERFACE_FORK_SAFE, CKR_OK, 3},
      {"another version", Name(), {3, 1}, 0, CKR_FUNCTION_FAILED, 0},
      {"another name", vendor, {0, 0}, 0, CKR_FUNCTION_FAILED, 0},
      {"an unknown flag", Name(), {0, 0}, 2, CKR_FUNCTION_FAILED, 0},
  };
  for (Case c : cases) {
    SCOPED_TRACE(c.what);
    CK_INTERFACE* found = nullptr;
    EXPECT_EQ(Get()(c.name, c.version.major == 0 ? nullptr : &c.version, &found, c.flags), c.rv);
    if (c.rv != CKR_OK) continue;
    EXPECT_EQ(static_cast<const CK_VERSION*>(found->pFunctionList)->major, c.major);
  }
  EXPECT_EQ(Get()(nullptr, nullptr, nullptr, 0), CKR_ARGUMENTS_BAD);
}

TEST_F(InterfaceTest, EveryFunctionIsTheOneExportedByItsName) {
  constexpr std::size_t kFunctions = 92;
  static_assert(sizeof(CK_FUNCTION_LIST_3_0) == sizeof(void*) * (kFunctions + 1));
  void* pointers[kFunctions];
  std::memcpy(pointers, reinterpret_cast<const char*>(functions_) + sizeof(void*), sizeof pointers);
  for (void* pointer : pointers) {
    Dl_info symbol{};
    ASSERT_NE(dladdr(pointer, &symbol), 0);
    ASSERT_NE(symbol.dli_sname, nullptr);
    EXPECT_EQ(module_.Symbol(symbol.dli_sname), pointer);
  }
  // The two lists begin with the same functions.
  EXPECT_EQ(std::memcmp(pointers, reinterpret_cast<const char*>(module_.operator->()) + sizeof(void*),
                        68 * sizeof(void*)),
            0);
}

TEST_F(InterfaceTest, MessageFunctionsAreRefused) {
  Initialize();
  CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
  CK_BYTE data[1] = {};
  CK_ULONG size = sizeof data;
  auto* f = functions_;
  const CK_RV codes[] = {
      f->C_MessageEncryptInit(1, &mechanism, 1),
      f->C_EncryptMessage(1, nullptr, 0, nullptr, 0, data, 1, data, &size),
      f->C_EncryptMessageBegin(1, nullptr, 0, nullptr, 0),
      f->C_EncryptMessageNext(1, nullptr, 0, data, 1, data, &size, 0),
      f->C_MessageEncryptFinal(1),
      f->C_MessageDecryptInit(1, &mechanism, 1),
      f->C_DecryptMessage(1, nullptr, 0, nullptr, 0, data, 1, data, &size),
      f->C_DecryptMessageBegin(1, nullptr, 0, nullptr, 0),
      f->C_DecryptMessageNext(1, nullptr, 0, data, 1, data, &size, 0),
      f->C_MessageDecryptFinal(1),
      f->C_MessageSignInit(1, &mechanism, 1),
      f->C_SignMessage(1, nullptr, 0, data, 1, data, &size),
      f->C_SignMessageBegin(1, nullptr, 0),
      f->C_SignMessageNext(1, nullptr, 0, data, 1, data, &size),
      f->C_MessageSignFinal(1),
      f->C_MessageVerifyInit(1, &mechanism, 1),
      f->C_VerifyMessage(1, nullptr, 0, data, 1, data, 1),
      f->C_VerifyMessageBegin(1, nullptr, 0),
      f->C_VerifyMessageNext(1, nullptr, 0, data, 1, data, 1),
      f->C_MessageVerifyFinal(1),
      // And those of v2.40 that no mechanism of this module has.
      f->C_EncryptUpdate(1, data, 1, data, &size),
      f->C_EncryptFinal(1, data, &size),
      f->C_DecryptUpdate(1, data, 1, data, &size),
      f->C_DecryptFinal(1, data, &size),
      f->C_SignRecoverInit(1, &mechanism, 1),
      f->C_SignRecover(1, data, 1, data, &size),
      f->C_VerifyRecoverInit(1, &mechanism, 1),
      f->C_VerifyRecover(1, data, 1, data, &size),
      f->C_DigestEncryptUpdate(1, data, 1, data, &size),
      f->C_DecryptDigestUpdate(1, data, 1, data, &size),
      f->C_SignEncryptUpdate(1, data, 1, data, &size),
      f->C_DecryptVerifyUpdate(1, data, 1, data, &size),
      f->C_WrapKey(1, &mechanism, 1, 1, data, &size),
      f->C_UnwrapKey(1, &mechanism, 1, data, 1, nullptr, 0, nullptr),
      f->C_DeriveKey(1, &mechanism, 1, nullptr, 0, nullptr),
  };
  for (std::size_t i = 0; i < std::size(codes); ++i) EXPECT_EQ(codes[i], CKR_FUNCTION_NOT_SUPPORTED) << i;
  EXPECT_EQ(f->C_GetFunctionStatus(1), CKR_FUNCTION_NOT_PARALLEL);
  EXPECT_EQ(f->C_CancelFunction(1), CKR_FUNCTION_NOT_PARALLEL);
}

TEST_F(InterfaceTest, LoginUserKnowsTheOneUserWithoutAName) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = OpenSession();
  std::string pin = kPin;
  auto* pin_bytes = reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data());
  unsigned char name[] = "admin";
  EXPECT_EQ(functions_->C_LoginUser(99, CKU_USER, pin_bytes, pin.size(), nullptr, 0), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(functions_->C_LoginUser(session, CKU_USER, pin_bytes, pin.size(), name, 5), CKR_PIN_INCORRECT);
  EXPECT_EQ(functions_->C_LoginUser(session, CKU_USER, pin_bytes, pin.size(), nullptr, 5), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(functions_->C_LoginUser(session, CKU_SO, pin_bytes, pin.size(), nullptr, 0), CKR_SESSION_READ_ONLY_EXISTS);
  EXPECT_EQ(functions_->C_LoginUser(session, CKU_USER, pin_bytes, pin.size() - 1, nullptr, 0), CKR_PIN_INCORRECT);
  EXPECT_EQ(functions_->C_LoginUser(session, CKU_USER, pin_bytes, pin.size(), nullptr, 0), CKR_OK);
  EXPECT_EQ(functions_->C_LoginUser(session, CKU_USER, pin_bytes, pin.size(), nullptr, 0), CKR_USER_ALREADY_LOGGED_IN);
}

TEST_F(InterfaceTest, SessionCancelEndsWhatItsFlagsName) {
  StartEnclave(KeyKind::kRsa2048);
  enclave_->SetGeneral(true);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  const CK_OBJECT_HANDLE pub = FindOne(session, CKO_PUBLIC_KEY);
  CK_MECHANISM sha{CKM_SHA256, nullptr, 0};
  CK_MECHANISM rsa{CKM_RSA_PKCS, nullptr, 0};
  const auto start_all = [&](CK_RV rv) {
    EXPECT_EQ(module_->C_DigestInit(session, &sha), rv);
    EXPECT_EQ(module_->C_SignInit(session, &rsa, key), rv);
    EXPECT_EQ(module_->C_VerifyInit(session, &rsa, pub), rv);
    EXPECT_EQ(module_->C_EncryptInit(session, &rsa, pub), rv);
    EXPECT_EQ(module_->C_DecryptInit(session, &rsa, key), rv);
    EXPECT_EQ(module_->C_FindObjectsInit(session, nullptr, 0), rv);
  };
  start_all(CKR_OK);
  start_all(CKR_OPERATION_ACTIVE);  // one of each kind
  EXPECT_EQ(functions_->C_SessionCancel(99, CKF_SIGN), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(functions_->C_SessionCancel(session, CKF_SIGN), CKR_OK);
  EXPECT_EQ(module_->C_SignInit(session, &rsa, key), CKR_OK);
  EXPECT_EQ(module_->C_DecryptInit(session, &rsa, key), CKR_OPERATION_ACTIVE);
  EXPECT_EQ(functions_->C_SessionCancel(session, CKF_DIGEST | CKF_SIGN | CKF_VERIFY | CKF_ENCRYPT | CKF_DECRYPT |
                                                     CKF_FIND_OBJECTS),
            CKR_OK);
  start_all(CKR_OK);
  // A null mechanism ends one as well, and is a mistake where nothing is active.
  EXPECT_EQ(module_->C_DigestInit(session, nullptr), CKR_OK);
  EXPECT_EQ(module_->C_DigestInit(session, nullptr), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_VerifyInit(session, nullptr, 0), CKR_OK);
  EXPECT_EQ(module_->C_VerifyInit(session, &rsa, pub), CKR_OK);
}

}  // namespace
}  // namespace tlskeep::test
