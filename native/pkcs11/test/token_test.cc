// Slots, tokens and mechanisms as consumers list them.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <thread>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using TokenTest = ModuleTest;

TEST_F(TokenTest, DescribesSlotAndToken) {
  StartEnclave();
  Initialize();
  const CK_SLOT_ID slot = FirstSlot();
  CK_SLOT_INFO slot_info{};
  ASSERT_EQ(module_->C_GetSlotInfo(slot, &slot_info), CKR_OK);
  EXPECT_EQ(slot_info.flags, CKF_REMOVABLE_DEVICE | CKF_TOKEN_PRESENT);
  EXPECT_EQ(module_->C_GetSlotInfo(99, &slot_info), CKR_SLOT_ID_INVALID);
  CK_TOKEN_INFO info{};
  ASSERT_EQ(module_->C_GetTokenInfo(slot, &info), CKR_OK);
  EXPECT_EQ(std::memcmp(info.label, "web                             ", 32), 0);
  EXPECT_EQ(std::memcmp(info.model, "Nitro Enclave   ", 16), 0);
  EXPECT_EQ(std::memcmp(info.serialNumber, "4b5e57f6eb2f42b9", 16), 0);  // echo -n web | sha256sum
  EXPECT_EQ(info.flags,
            CKF_RNG | CKF_WRITE_PROTECTED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED);
  EXPECT_EQ(info.ulMinPinLen, 4U);
  EXPECT_EQ(info.ulMaxPinLen, 64U);
  EXPECT_EQ(info.ulSessionCount, 0U);
  EXPECT_EQ(module_->C_GetTokenInfo(99, &info), CKR_SLOT_ID_INVALID);
}

TEST_F(TokenTest, ListsFollowTheOutputBufferRules) {
  StartEnclave();
  enclave_->Provision(MakeFakeToken("other", "9999", KeyKind::kP384));
  Initialize();
  CK_ULONG count = 7;
  ASSERT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  ASSERT_EQ(count, 2U);
  CK_SLOT_ID slots[3] = {77, 77, 77};
  count = 1;
  EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, slots, &count), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, 2U);
  EXPECT_EQ(slots[0], 77U);
  count = 3;
  EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
  EXPECT_EQ(count, 2U);
  EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, slots, nullptr), CKR_ARGUMENTS_BAD);
}

TEST_F(TokenTest, ACallerMayBeginWithABuffer) {
  StartEnclave();
  Initialize();
  CK_SLOT_ID slots[8];
  CK_ULONG count = 8;
  EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
  EXPECT_EQ(count, 1U);
}

TEST_F(TokenTest, ReadsAListOfManyPages) {
  StartEnclave();
  for (int i = 0; i < 9; ++i) enclave_->Provision(MakeFakeToken("t" + std::to_string(i), "9999", KeyKind::kP256));
  enclave_->SetPageSize(3);
  Initialize();
  CK_ULONG count = 0;
  ASSERT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  EXPECT_EQ(count, 10U);
}

TEST_F(TokenTest, ATokenMayGoAndComeBackToItsSlot) {
  StartEnclave();
  FakeToken other = MakeFakeToken("a", "9999", KeyKind::kP256);
  enclave_->Provision(other);
  Initialize();
  ASSERT_EQ(FirstSlot(), 0U);  // "a"
  enclave_->Remove("a");
  CK_ULONG count = 0;
  // It is kept while it might be an enclave that has restarted.
  ASSERT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  EXPECT_EQ(count, 2U);
  std::this_thread::sleep_for(kListDeadline + std::chrono::milliseconds(50));
  ASSERT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  EXPECT_EQ(count, 1U);
  ASSERT_EQ(module_->C_GetSlotList(CK_FALSE, nullptr, &count), CKR_OK);
  EXPECT_EQ(count, 2U);
  CK_SLOT_INFO info{};
  ASSERT_EQ(module_->C_GetSlotInfo(0, &info), CKR_OK);
  EXPECT_EQ(info.flags & CKF_TOKEN_PRESENT, 0U);
  CK_TOKEN_INFO token{};
  EXPECT_EQ(module_->C_GetTokenInfo(0, &token), CKR_TOKEN_NOT_PRESENT);
  CK_SESSION_HANDLE session = 0;
  EXPECT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &session), CKR_TOKEN_NOT_PRESENT);
  enclave_->Provision(other);
  ASSERT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  EXPECT_EQ(count, 2U);
  ASSERT_EQ(module_->C_GetTokenInfo(0, &token), CKR_OK);
  EXPECT_EQ(token.label[0], 'a');
}

TEST_F(TokenTest, WithoutAnEnclaveThereAreNoSlotsInBoundedTime) {
  Initialize();
  CK_ULONG count = 1;
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  const auto first = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(count, 0U);
  EXPECT_GE(first, kListDeadline);
  EXPECT_LT(first, kListDeadline + std::chrono::seconds(1));
  // The wait is had once.
  ASSERT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  EXPECT_LT(std::chrono::steady_clock::now() - start - first, std::chrono::milliseconds(100));
}

TEST_F(TokenTest, TheFirstListWaitsForTheEnclaveAndItsTokens) {
  setenv("TLSKEEP_LIST_DEADLINE_MS", "5000", 1);
  Initialize();
  std::thread late([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    enclave_ = std::make_unique<FakeEnclave>(directory_.socket());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    enclave_->Provision(MakeFakeToken(kLabel, kPin, KeyKind::kP256));
  });
  CK_ULONG count = 0;
  EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  EXPECT_EQ(count, 1U);
  late.join();
}

TEST_F(TokenTest, ReadsTheEndpointFileAgain) {
  unsetenv("TLSKEEP_ENDPOINT");
  setenv("TLSKEEP_ENDPOINT_FILE", directory_.file("endpoint").c_str(), 1);
  std::ofstream(directory_.file("endpoint")) << "unix:" << directory_.socket() << "\n";
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  ASSERT_EQ(SignEcdsaOnce(session, key, key_), CKR_OK);
  // The same token behind another address.
  FakeEnclave moved(directory_.file("moved"));
  FakeToken token = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  token.key = key_;
  token.certificates = MakeChain(key_, "localhost");
  moved.Provision(token);
  std::ofstream(directory_.file("endpoint")) << "unix:" << directory_.file("moved") << "\n";
  enclave_.reset();
  EXPECT_EQ(SignEcdsaOnce(session, key, key_), CKR_OK);
  EXPECT_EQ(moved.requests("sign"), 1U);
}

TEST_F(TokenTest, SpeaksToAHybridMultiplexer) {
  setenv("TLSKEEP_ENDPOINT", ("unix+vsock:" + directory_.socket() + ":9999").c_str(), 1);
  enclave_ = std::make_unique<FakeEnclave>(directory_.socket(), 9999);
  FakeToken token = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  key_ = token.key;
  enclave_->Provision(std::move(token));
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  EXPECT_EQ(SignEcdsaOnce(session, FindOne(session, CKO_PRIVATE_KEY), key_), CKR_OK);
}

}  // namespace
}  // namespace tlskeep::test
