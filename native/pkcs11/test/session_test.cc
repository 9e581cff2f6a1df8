// Sessions and login states.
#include <set>
#include <vector>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

class SessionTest : public ModuleTest {
 protected:
  CK_RV Login(CK_SESSION_HANDLE session, std::string pin, CK_USER_TYPE user = CKU_USER) {
    return module_->C_Login(session, user, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size());
  }
  CK_STATE State(CK_SESSION_HANDLE session) {
    CK_SESSION_INFO info{};
    EXPECT_EQ(module_->C_GetSessionInfo(session, &info), CKR_OK);
    return info.state;
  }
};

TEST_F(SessionTest, OpensReadWriteSessionsForThoseWhoOnlyRead) {
  StartEnclave();
  Initialize();
  const CK_SLOT_ID slot = FirstSlot();
  CK_SESSION_HANDLE session = 0;
  ASSERT_EQ(module_->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session), CKR_OK);
  CK_SESSION_INFO info{};
  ASSERT_EQ(module_->C_GetSessionInfo(session, &info), CKR_OK);
  EXPECT_EQ(info.state, CKS_RW_PUBLIC_SESSION);
  EXPECT_EQ(info.flags, CKF_SERIAL_SESSION | CKF_RW_SESSION);
  CK_TOKEN_INFO token{};
  ASSERT_EQ(module_->C_GetTokenInfo(slot, &token), CKR_OK);
  EXPECT_EQ(token.ulRwSessionCount, 1U);
  EXPECT_EQ(Login(session, kPin, CKU_SO), CKR_USER_TYPE_INVALID);
  ASSERT_EQ(Login(session, kPin), CKR_OK);
  EXPECT_EQ(State(session), CKS_RW_USER_FUNCTIONS);

  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  CK_BBOOL yes = CK_TRUE;
  CK_ATTRIBUTE token_object{CKA_TOKEN, &yes, sizeof yes};
  CK_MECHANISM generate{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
  CK_BYTE pin[] = "12345678";
  CK_OBJECT_HANDLE made = 0;
  EXPECT_EQ(module_->C_CreateObject(session, &token_object, 1, &made), CKR_TOKEN_WRITE_PROTECTED);
  EXPECT_EQ(module_->C_CopyObject(session, key, nullptr, 0, &made), CKR_TOKEN_WRITE_PROTECTED);
  EXPECT_EQ(module_->C_DestroyObject(session, key), CKR_TOKEN_WRITE_PROTECTED);
  EXPECT_EQ(module_->C_SetAttributeValue(session, key, &token_object, 1), CKR_TOKEN_WRITE_PROTECTED);
  EXPECT_EQ(module_->C_GenerateKeyPair(session, &generate, &token_object, 1, &token_object, 1, &made, &made),
            CKR_TOKEN_WRITE_PROTECTED);
  EXPECT_EQ(module_->C_SetPIN(session, pin, 8, pin, 8), CKR_TOKEN_WRITE_PROTECTED);
}

TEST_F(SessionTest, OpensReadOnlySerialSessions) {
  StartEnclave();
  Initialize();
  const CK_SLOT_ID slot = FirstSlot();
  CK_SESSION_HANDLE session = 0;
  EXPECT_EQ(module_->C_OpenSession(slot, 0, nullptr, nullptr, &session), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
  EXPECT_EQ(module_->C_OpenSession(99, CKF_SERIAL_SESSION, nullptr, nullptr, &session), CKR_SLOT_ID_INVALID);
  EXPECT_EQ(module_->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, nullptr), CKR_ARGUMENTS_BAD);
  ASSERT_EQ(module_->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session), CKR_OK);
  CK_SESSION_INFO info{};
  ASSERT_EQ(module_->C_GetSessionInfo(session, &info), CKR_OK);
  EXPECT_EQ(info.slotID, slot);
  EXPECT_EQ(info.state, CKS_RO_PUBLIC_SESSION);
  EXPECT_EQ(info.flags, CKF_SERIAL_SESSION);
  EXPECT_EQ(module_->C_CloseSession(session), CKR_OK);
  EXPECT_EQ(module_->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(module_->C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
}

TEST_F(SessionTest, AHandleIsOfOneSessionAlone) {
  StartEnclave();
  Initialize();
  const CK_SLOT_ID slot = FirstSlot();
  const auto open = [&] {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    EXPECT_EQ(module_->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session), CKR_OK);
    return session;
  };
  const auto is_open = [&](CK_SESSION_HANDLE session) {
    CK_SESSION_INFO info{};
    const CK_RV rv = module_->C_GetSessionInfo(session, &info);
    EXPECT_TRUE(rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID) << rv;
    return rv == CKR_OK;
  };
  std::set<CK_SESSION_HANDLE> seen;
  std::vector<CK_SESSION_HANDLE> held;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 20; ++i) {
      held.push_back(open());
      EXPECT_TRUE(seen.insert(held.back()).second) << "a handle came twice";
    }
    for (const CK_SESSION_HANDLE session : held) EXPECT_TRUE(is_open(session));
    // Every other one goes, so that places are free between those that stay.
    for (std::size_t i = 0; i < held.size(); i += 2) EXPECT_EQ(module_->C_CloseSession(held[i]), CKR_OK);
    for (std::size_t i = 0; i < held.size(); ++i) EXPECT_EQ(is_open(held[i]), i % 2 == 1);
    EXPECT_EQ(module_->C_CloseSession(held.front()), CKR_SESSION_HANDLE_INVALID);
    std::vector<CK_SESSION_HANDLE> kept;
    for (std::size_t i = 1; i < held.size(); i += 2) kept.push_back(held[i]);
    held = std::move(kept);
  }
  CK_TOKEN_INFO token{};
  ASSERT_EQ(module_->C_GetTokenInfo(slot, &token), CKR_OK);
  EXPECT_EQ(token.ulSessionCount, held.size());
  EXPECT_EQ(module_->C_CloseAllSessions(slot), CKR_OK);
  for (const CK_SESSION_HANDLE session : held) EXPECT_FALSE(is_open(session));
  EXPECT_FALSE(is_open(CK_INVALID_HANDLE));
  EXPECT_FALSE(is_open(~CK_SESSION_HANDLE{0}));
}

TEST_F(SessionTest, LoginIsSharedByTheSessionsOfAToken) {
  StartEnclave();
  enclave_->Provision(MakeFakeToken("zother", "9999", KeyKind::kP256));
  Initialize();
  const CK_SESSION_HANDLE one = OpenSession();
  const CK_SESSION_HANDLE two = OpenSession();
  CK_SESSION_HANDLE other = 0;
  ASSERT_EQ(module_->C_OpenSession(1, CKF_SERIAL_SESSION, nullptr, nullptr, &other), CKR_OK);
  EXPECT_EQ(Login(one, "wrong pin"), CKR_PIN_INCORRECT);
  EXPECT_EQ(Login(one, "abc"), CKR_PIN_INCORRECT);
  EXPECT_EQ(Login(one, std::string(65, 'x')), CKR_PIN_INCORRECT);
  EXPECT_EQ(Login(one, "\xff\xff\xff\xff"), CKR_PIN_INCORRECT);
  EXPECT_EQ(Login(one, kPin, CKU_SO), CKR_SESSION_READ_ONLY_EXISTS);
  EXPECT_EQ(Login(one, kPin, CKU_CONTEXT_SPECIFIC), CKR_OPERATION_NOT_INITIALIZED);
  EXPECT_EQ(Login(one, kPin, 17), CKR_USER_TYPE_INVALID);
  EXPECT_EQ(module_->C_Login(one, CKU_USER, nullptr, 0), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(State(one), CKS_RO_PUBLIC_SESSION);
  EXPECT_EQ(module_->C_Logout(one), CKR_USER_NOT_LOGGED_IN);
  ASSERT_EQ(Login(one, kPin), CKR_OK);
  EXPECT_EQ(State(two), CKS_RO_USER_FUNCTIONS);
  EXPECT_EQ(State(other), CKS_RO_PUBLIC_SESSION);
  EXPECT_EQ(Login(two, kPin), CKR_USER_ALREADY_LOGGED_IN);
  ASSERT_EQ(module_->C_Logout(two), CKR_OK);
  EXPECT_EQ(State(one), CKS_RO_PUBLIC_SESSION);
}

TEST_F(SessionTest, ManyWrongPinsDoNotLockOutTheRightOne) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = OpenSession();
  for (int i = 0; i < 12; ++i) ASSERT_EQ(Login(session, "wrong pin"), CKR_PIN_INCORRECT) << i;
  EXPECT_EQ(Login(session, kPin), CKR_OK);
}

TEST_F(SessionTest, TheLastSessionTakesTheLoginWithIt) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE one = LogIn();
  const CK_SESSION_HANDLE two = OpenSession();
  const CK_OBJECT_HANDLE key = FindOne(one, CKO_PRIVATE_KEY);
  ASSERT_EQ(module_->C_CloseSession(one), CKR_OK);
  EXPECT_EQ(State(two), CKS_RO_USER_FUNCTIONS);
  ASSERT_EQ(module_->C_CloseAllSessions(0), CKR_OK);
  EXPECT_EQ(module_->C_CloseAllSessions(9), CKR_SLOT_ID_INVALID);
  const CK_SESSION_HANDLE three = OpenSession();
  EXPECT_EQ(State(three), CKS_RO_PUBLIC_SESSION);
  EXPECT_EQ(SignInit(three, key, CKM_ECDSA), CKR_USER_NOT_LOGGED_IN);
}

TEST_F(SessionTest, ALogoutEndsThePowerToSign) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  ASSERT_EQ(SignInit(session, key, CKM_ECDSA), CKR_OK);
  ASSERT_EQ(module_->C_Logout(session), CKR_OK);
  Bytes signature;
  EXPECT_EQ(Sign(session, Digest32(), signature), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(enclave_->requests("sign"), 0U);
}

TEST_F(SessionTest, AChangedPinAsksForANewLogin) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  FakeToken token = MakeFakeToken(kLabel, "new pin", KeyKind::kP256);
  token.key = key_;
  token.certificates = MakeChain(key_, "localhost");
  enclave_->Provision(token);
  enclave_->Stop();
  enclave_->Start();
  EXPECT_EQ(SignEcdsaOnce(session, key, key_), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(State(session), CKS_RO_PUBLIC_SESSION);
  ASSERT_EQ(Login(session, "new pin"), CKR_OK);
  EXPECT_EQ(SignEcdsaOnce(session, key, key_), CKR_OK);
}

TEST_F(SessionTest, TheLogHoldsNoPin) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = OpenSession();
  Login(session, "secret wrong pin");
  ASSERT_EQ(Login(session, kPin), CKR_OK);
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  enclave_->Stop();
  EXPECT_EQ(SignEcdsaOnce(session, key, key_), CKR_DEVICE_ERROR);
  FILE* file = fopen(directory_.file("log").c_str(), "r");
  ASSERT_NE(file, nullptr);
  std::string log(100'000, '\0');
  log.resize(fread(log.data(), 1, log.size(), file));
  fclose(file);
  EXPECT_NE(log.find("no connection to the enclave"), log.npos);
  EXPECT_NE(log.find("C_Sign"), log.npos);
  EXPECT_EQ(log.find(kPin), log.npos);
  EXPECT_EQ(log.find("secret"), log.npos);
}

}  // namespace
}  // namespace tlskeep::test
