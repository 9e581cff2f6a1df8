// What would write to the token, states, seeds, random bytes and slot events: the exact codes.
#include <atomic>
#include <thread>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using WriteTest = ModuleTest;

TEST_F(WriteTest, EveryWriteIsRefusedWithItsCode) {
  StartEnclave();
  Initialize();
  const CK_SLOT_ID slot = FirstSlot();
  CK_BYTE pin[] = "12345678";
  CK_BYTE label[32] = {};
  EXPECT_EQ(module_->C_InitToken(99, pin, 8, label), CKR_SLOT_ID_INVALID);
  EXPECT_EQ(module_->C_InitToken(slot, nullptr, 8, label), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_InitToken(slot, pin, 8, nullptr), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_InitToken(slot, pin, 8, label), CKR_TOKEN_WRITE_PROTECTED);
  const CK_SESSION_HANDLE session = LogIn();
  EXPECT_EQ(module_->C_InitToken(slot, pin, 8, label), CKR_SESSION_EXISTS);
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);

  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_ATTRIBUTE token_object{CKA_TOKEN, &yes, sizeof yes};
  CK_ATTRIBUTE session_object{CKA_TOKEN, &no, sizeof no};
  CK_ATTRIBUTE malformed{CKA_TOKEN, &yes, 2};
  CK_ATTRIBUTE null_value{CKA_TOKEN, nullptr, 1};
  CK_MECHANISM generate{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
  CK_OBJECT_HANDLE made = 77;
  CK_OBJECT_HANDLE made_too = 77;
  auto* m = module_.operator->();
  struct Row {
    const char* name;
    CK_RV rv;
    CK_RV expected;
  };
  const Row rows[] = {
      {"create, token object", m->C_CreateObject(session, &token_object, 1, &made), CKR_SESSION_READ_ONLY},
      {"create, session object", m->C_CreateObject(session, &session_object, 1, &made), CKR_TOKEN_WRITE_PROTECTED},
      {"create, of neither", m->C_CreateObject(session, nullptr, 0, &made), CKR_TOKEN_WRITE_PROTECTED},
      {"create, malformed", m->C_CreateObject(session, &malformed, 1, &made), CKR_ATTRIBUTE_VALUE_INVALID},
      {"create, null value", m->C_CreateObject(session, &null_value, 1, &made), CKR_ARGUMENTS_BAD},
      {"create, null template", m->C_CreateObject(session, nullptr, 1, &made), CKR_ARGUMENTS_BAD},
      {"create, null handle", m->C_CreateObject(session, &token_object, 1, nullptr), CKR_ARGUMENTS_BAD},
      {"create, no session", m->C_CreateObject(99, &token_object, 1, &made), CKR_SESSION_HANDLE_INVALID},
      {"copy", m->C_CopyObject(session, key, nullptr, 0, &made), CKR_SESSION_READ_ONLY},
      {"copy, to a session object", m->C_CopyObject(session, key, &session_object, 1, &made), CKR_ACTION_PROHIBITED},
      {"copy, no object", m->C_CopyObject(session, 999, nullptr, 0, &made), CKR_OBJECT_HANDLE_INVALID},
      {"destroy", m->C_DestroyObject(session, key), CKR_SESSION_READ_ONLY},
      {"destroy, no object", m->C_DestroyObject(session, 999), CKR_OBJECT_HANDLE_INVALID},
      {"set", m->C_SetAttributeValue(session, key, &token_object, 1), CKR_SESSION_READ_ONLY},
      {"set, null template", m->C_SetAttributeValue(session, key, nullptr, 1), CKR_ARGUMENTS_BAD},
      {"set, no object", m->C_SetAttributeValue(session, 999, &token_object, 1), CKR_OBJECT_HANDLE_INVALID},
      {"generate, token", m->C_GenerateKey(session, &generate, &token_object, 1, &made), CKR_SESSION_READ_ONLY},
      {"generate, session", m->C_GenerateKey(session, &generate, nullptr, 0, &made), CKR_TOKEN_WRITE_PROTECTED},
      {"generate, no mechanism", m->C_GenerateKey(session, nullptr, nullptr, 0, &made), CKR_ARGUMENTS_BAD},
      {"pair, token", m->C_GenerateKeyPair(session, &generate, &token_object, 1, nullptr, 0, &made, &made_too),
       CKR_SESSION_READ_ONLY},
      {"pair, private token", m->C_GenerateKeyPair(session, &generate, nullptr, 0, &token_object, 1, &made, &made_too),
       CKR_SESSION_READ_ONLY},
      {"pair, session", m->C_GenerateKeyPair(session, &generate, nullptr, 0, nullptr, 0, &made, &made_too),
       CKR_TOKEN_WRITE_PROTECTED},
      {"pair, one handle", m->C_GenerateKeyPair(session, &generate, nullptr, 0, nullptr, 0, &made, nullptr),
       CKR_ARGUMENTS_BAD},
      {"init PIN", m->C_InitPIN(session, pin, 8), CKR_USER_NOT_LOGGED_IN},
      {"init PIN, no session", m->C_InitPIN(99, pin, 8), CKR_SESSION_HANDLE_INVALID},
      {"set PIN", m->C_SetPIN(session, pin, 8, pin, 8), CKR_SESSION_READ_ONLY},
      {"set PIN, null", m->C_SetPIN(session, nullptr, 8, pin, 8), CKR_ARGUMENTS_BAD},
      {"set PIN, no session", m->C_SetPIN(99, pin, 8, pin, 8), CKR_SESSION_HANDLE_INVALID},
      {"seed", m->C_SeedRandom(session, pin, 8), CKR_RANDOM_SEED_NOT_SUPPORTED},
      {"seed, null", m->C_SeedRandom(session, nullptr, 8), CKR_ARGUMENTS_BAD},
      {"set state", m->C_SetOperationState(session, pin, 8, 0, 0), CKR_SAVED_STATE_INVALID},
      {"set state, no session", m->C_SetOperationState(99, pin, 8, 0, 0), CKR_SESSION_HANDLE_INVALID},
  };
  for (const Row& row : rows) EXPECT_EQ(row.rv, row.expected) << row.name;
  EXPECT_EQ(made, 77U);
  ASSERT_EQ(module_->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(m->C_DestroyObject(session, key), CKR_CRYPTOKI_NOT_INITIALIZED);
}

TEST_F(WriteTest, NoOperationStateIsHandedOut) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = OpenSession();
  CK_ULONG size = 0;
  EXPECT_EQ(module_->C_GetOperationState(session, nullptr, nullptr), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_GetOperationState(99, nullptr, &size), CKR_SESSION_HANDLE_INVALID);
  EXPECT_EQ(module_->C_GetOperationState(session, nullptr, &size), CKR_OPERATION_NOT_INITIALIZED);
  CK_MECHANISM sha{CKM_SHA256, nullptr, 0};
  ASSERT_EQ(module_->C_DigestInit(session, &sha), CKR_OK);
  EXPECT_EQ(module_->C_GetOperationState(session, nullptr, &size), CKR_STATE_UNSAVEABLE);
}

TEST_F(WriteTest, RandomBytesComeFromTheEnclave) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = OpenSession();  // no login
  Bytes one(2500, 0);
  Bytes two(2500, 0);
  ASSERT_EQ(module_->C_GenerateRandom(session, one.data(), one.size()), CKR_OK);
  ASSERT_EQ(module_->C_GenerateRandom(session, two.data(), two.size()), CKR_OK);
  EXPECT_NE(one, two);
  EXPECT_NE(Bytes(one.end() - 100, one.end()), Bytes(100, 0));
  EXPECT_EQ(enclave_->requests("random"), 6U);  // of 1024 bytes at most
  EXPECT_EQ(module_->C_GenerateRandom(session, nullptr, 0), CKR_OK);
  EXPECT_EQ(module_->C_GenerateRandom(session, nullptr, 1), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_GenerateRandom(99, one.data(), 1), CKR_SESSION_HANDLE_INVALID);
  enclave_->Misbehave(Fault::kClose, 1);
  EXPECT_EQ(module_->C_GenerateRandom(session, one.data(), 1), CKR_OK);
  enclave_->Stop();
  EXPECT_EQ(module_->C_GenerateRandom(session, one.data(), 1), CKR_DEVICE_ERROR);
}

TEST_F(WriteTest, SlotEventsAreTokensThatChange) {
  StartEnclave();
  Initialize();
  CK_SLOT_ID slot = 77;
  const auto poll = [&] { return module_->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, nullptr); };
  int reserved = 0;
  EXPECT_EQ(module_->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &reserved), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_WaitForSlotEvent(CKF_DONT_BLOCK, nullptr, nullptr), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(poll(), CKR_NO_EVENT);  // what is there from the start is no event
  EXPECT_EQ(slot, 77U);
  enclave_->Provision(MakeFakeToken("other", "9999", KeyKind::kP256));  // a token comes
  ASSERT_EQ(poll(), CKR_OK);
  EXPECT_EQ(slot, 1U);
  EXPECT_EQ(poll(), CKR_NO_EVENT);
  enclave_->Provision(MakeFakeToken(kLabel, kPin, KeyKind::kP256));  // one is renewed
  ASSERT_EQ(poll(), CKR_OK);
  EXPECT_EQ(slot, 0U);
  EXPECT_EQ(poll(), CKR_NO_EVENT);
  enclave_->Remove("other");  // one goes, after it has been missed for a while
  EXPECT_EQ(poll(), CKR_NO_EVENT);
  std::this_thread::sleep_for(kListDeadline + std::chrono::milliseconds(50));
  ASSERT_EQ(poll(), CKR_OK);
  EXPECT_EQ(slot, 1U);
  enclave_.reset();
  EXPECT_EQ(poll(), CKR_NO_EVENT);
}

TEST_F(WriteTest, WaitingForAnEventEndsWithItOrWithFinalize) {
  StartEnclave();
  Initialize();
  FirstSlot();
  std::thread renewal([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    enclave_->Provision(MakeFakeToken(kLabel, kPin, KeyKind::kP256));
  });
  CK_SLOT_ID slot = 77;
  EXPECT_EQ(module_->C_WaitForSlotEvent(0, &slot, nullptr), CKR_OK);
  EXPECT_EQ(slot, 0U);
  renewal.join();
  std::atomic<CK_RV> rv = CKR_OK;
  std::thread waiting([&] {
    CK_SLOT_ID none = 0;
    rv = module_->C_WaitForSlotEvent(0, &none, nullptr);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(module_->C_Finalize(nullptr), CKR_OK);
  waiting.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
  EXPECT_EQ(rv, CKR_CRYPTOKI_NOT_INITIALIZED);
}

}  // namespace
}  // namespace tlskeep::test
