// Loading and unloading: nothing stays behind in the process.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using LoadingTest = testing::Test;

long ResidentPages() {
  long size = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident;
}

// How many more thread-local keys the process can make.
int FreeThreadKeys() {
  std::vector<pthread_key_t> keys;
  for (pthread_key_t key; pthread_key_create(&key, nullptr) == 0;) keys.push_back(key);
  for (const pthread_key_t key : keys) pthread_key_delete(key);
  return static_cast<int>(keys.size());
}

// One life of a module: loaded, used, unloaded.
class OneLife : public ModuleTest {
 public:
  void TestBody() override {}
  void Use(const FakeToken& token, bool finalize) {
    enclave_ = std::make_unique<FakeEnclave>(directory_.socket());
    enclave_->Provision(token);
    Initialize();
    const CK_SESSION_HANDLE session = LogIn();
    EXPECT_EQ(SignEcdsaOnce(session, FindOne(session, CKO_PRIVATE_KEY), token.key), CKR_OK);
    // A thread that outlives the module, as those of a server do.
    EXPECT_EQ(SignInit(session, FindOne(session, CKO_PRIVATE_KEY), CKM_ECDSA_SHA256), CKR_OK);
    if (finalize) {
      EXPECT_EQ(module_->C_Finalize(nullptr), CKR_OK);
    }
  }
};

TEST_F(LoadingTest, UnloadsCleanlyAndOften) {
  const FakeToken token = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  { OneLife().Use(token, true); }
  ASSERT_FALSE(ModuleIsMapped());
  const int keys = FreeThreadKeys();
  for (int i = 0; i < 20; ++i) OneLife().Use(token, true);
  const long resident = ResidentPages();
  for (int i = 0; i < 50; ++i) OneLife().Use(token, i % 2 == 0);
  EXPECT_FALSE(ModuleIsMapped());
  EXPECT_EQ(FreeThreadKeys(), keys);
#ifndef TLSKEEP_SANITIZED  // a sanitizer keeps what has been freed for a while
  EXPECT_LT(ResidentPages() - resident, 512) << "pages, over 50 lives";
#else
  static_cast<void>(resident);
#endif
}

TEST_F(LoadingTest, ForkHandlersGoWithTheModule) {
  const FakeToken token = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  { OneLife().Use(token, true); }
  ASSERT_FALSE(ModuleIsMapped());
  const pid_t child = fork();
  if (child == 0) _exit(0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(LoadingTest, UnloadsWithoutFinalize) {
  void* handle = dlopen(TLSKEEP_MODULE, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr);
  const auto initialize = reinterpret_cast<CK_C_Initialize>(dlsym(handle, "C_Initialize"));
  ASSERT_EQ(initialize(nullptr), CKR_OK);
  ASSERT_EQ(dlclose(handle), 0);
  EXPECT_FALSE(ModuleIsMapped());
}

TEST_F(LoadingTest, ThreadsOutliveTheModule) {
  std::atomic<int> step = 0;
  const FakeToken token = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  std::thread thread([&] {
    OneLife().Use(token, true);
    step = 1;
    while (step != 2) std::this_thread::yield();
  });
  while (step != 1) std::this_thread::yield();
  EXPECT_FALSE(ModuleIsMapped());
  step = 2;
  thread.join();  // runs what destructors the thread has
}

TEST_F(LoadingTest, ExitsWithThreadsInside) {
  const FakeToken token = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    setenv("TLSKEEP_ENDPOINT", "unix:/nonexistent", 1);
    setenv("TLSKEEP_LIST_DEADLINE_MS", "60000", 1);
    void* handle = dlopen(TLSKEEP_MODULE, RTLD_NOW | RTLD_LOCAL);
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(handle, "C_GetFunctionList"));
    CK_FUNCTION_LIST* module = nullptr;
    get(&module);
    module->C_Initialize(nullptr);
    std::thread([module] {
      CK_ULONG count = 0;
      module->C_GetSlotList(CK_TRUE, nullptr, &count);
    }).detach();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace tlskeep::test
