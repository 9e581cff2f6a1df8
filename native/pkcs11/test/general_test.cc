// C_Initialize, C_Finalize, C_GetInfo and the function list.
#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using GeneralTest = ModuleTest;

CK_RV Callback(void**) { return CKR_OK; }
CK_RV Callback1(void*) { return CKR_OK; }

TEST_F(GeneralTest, ChecksItsArguments) {
  struct Case {
    const char* name;
    CK_C_INITIALIZE_ARGS args;
    CK_RV rv;
  };
  int reserved = 0;
  const Case cases[] = {
      {"reserved", {nullptr, nullptr, nullptr, nullptr, 0, &reserved}, CKR_ARGUMENTS_BAD},
      {"some callbacks", {Callback, nullptr, nullptr, nullptr, CKF_OS_LOCKING_OK, nullptr}, CKR_ARGUMENTS_BAD},
      {"callbacks alone", {Callback, Callback1, Callback1, Callback1, 0, nullptr}, CKR_CANT_LOCK},
      {"callbacks or the system's", {Callback, Callback1, Callback1, Callback1, CKF_OS_LOCKING_OK, nullptr}, CKR_OK},
      {"the system's", {nullptr, nullptr, nullptr, nullptr, CKF_OS_LOCKING_OK, nullptr}, CKR_OK},
      {"one thread", {nullptr, nullptr, nullptr, nullptr, 0, nullptr}, CKR_OK},
  };
  for (Case c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(module_->C_Initialize(&c.args), c.rv);
    EXPECT_EQ(module_->C_Finalize(nullptr), c.rv == CKR_OK ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED);
  }
  EXPECT_EQ(module_->C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(module_->C_Initialize(nullptr), CKR_CRYPTOKI_ALREADY_INITIALIZED);
  EXPECT_EQ(module_->C_Finalize(&reserved), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(module_->C_Finalize(nullptr), CKR_OK);
}

TEST_F(GeneralTest, NeedsInitializing) {
  CK_INFO info{};
  CK_ULONG count = 0;
  EXPECT_EQ(module_->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(module_->C_GetSlotList(CK_FALSE, nullptr, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(module_->C_Sign(1, nullptr, 0, nullptr, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
}

TEST_F(GeneralTest, TellsWhoItIs) {
  Initialize();
  CK_INFO info{};
  ASSERT_EQ(module_->C_GetInfo(&info), CKR_OK);
  EXPECT_EQ(module_->C_GetInfo(nullptr), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(info.cryptokiVersion.major, 2);
  EXPECT_EQ(info.cryptokiVersion.minor, 40);
  EXPECT_EQ(std::memcmp(info.manufacturerID, "tlskeep                         ", 32), 0);
}

TEST_F(GeneralTest, HasEveryFunction) {
  EXPECT_EQ(module_->version.major, 2);
  EXPECT_EQ(module_->version.minor, 40);
  // All members after the version are function pointers.
  constexpr std::size_t kFunctions = 68;
  void* pointers[kFunctions];
  static_assert(sizeof(CK_FUNCTION_LIST) == sizeof(void*) * (kFunctions + 1));
  std::memcpy(pointers, reinterpret_cast<const char*>(module_.operator->()) + sizeof(void*), sizeof pointers);
  for (std::size_t i = 0; i < kFunctions; ++i) {
    ASSERT_NE(pointers[i], nullptr) << i;
    Dl_info symbol{};
    ASSERT_NE(dladdr(pointers[i], &symbol), 0) << i;
    ASSERT_NE(symbol.dli_sname, nullptr) << i;
    EXPECT_EQ(std::strncmp(symbol.dli_sname, "C_", 2), 0) << symbol.dli_sname;
  }
}

TEST_F(GeneralTest, FinalizeEndsWhatOtherThreadsWaitFor) {
  StartEnclave();
  setenv("TLSKEEP_DEADLINE_MS", "60000", 1);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  std::vector<CK_SESSION_HANDLE> sessions(12);
  for (CK_SESSION_HANDLE& own : sessions) {
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
  }
  enclave_->Misbehave(Fault::kSilent, 1000);
  std::vector<std::thread> threads;
  std::atomic<int> refused = 0;
  for (const CK_SESSION_HANDLE own : sessions) {
    threads.emplace_back([&, own] {
      if (SignEcdsaOnce(own, key, key_) == CKR_CRYPTOKI_NOT_INITIALIZED) ++refused;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(module_->C_Finalize(nullptr), CKR_OK);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 12);
  // And the module starts again.
  enclave_->Misbehave(Fault::kNone, 0);
  Initialize();
  const CK_SESSION_HANDLE again = LogIn();
  EXPECT_EQ(SignEcdsaOnce(again, FindOne(again, CKO_PRIVATE_KEY), key_), CKR_OK);
}

}  // namespace
}  // namespace tlskeep::test
