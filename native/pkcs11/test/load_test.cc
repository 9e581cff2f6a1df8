// Endurance. TLSKEEP_TEST_LONG=1 runs the full counts; by default they are smaller.
#include <dirent.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

bool Long() {
  const char* value = getenv("TLSKEEP_TEST_LONG");
  return value != nullptr && *value == '1';
}

class LoadTest : public ModuleTest {
 protected:
  void SetUp() override {
    // The full counts may share a slow machine.
    setenv("TLSKEEP_DEADLINE_MS", "20000", 1);
    StartEnclave();
    Initialize();
    session_ = LogIn();
    sign_key_ = FindOne(session_, CKO_PRIVATE_KEY);
  }
  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE sign_key_ = 0;
};

int OpenDescriptors() {
  int count = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

long ResidentKib() {
  malloc_trim(0);
  long size = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

TEST_F(LoadTest, SignaturesAndReconnectsLeaveNothingBehind) {
  const int rounds = Long() ? 100 : 20;
  constexpr int kPerRound = 1000;
  enclave_->SetFastSignature(64);
  const auto round = [&] {
    for (int i = 0; i < kPerRound; ++i) {
      ASSERT_EQ(SignInit(session_, sign_key_, CKM_ECDSA), CKR_OK);
      Bytes signature;
      ASSERT_EQ(Sign(session_, Digest32(), signature), CKR_OK);
    }
    enclave_->Stop();
    enclave_->Start();
  };
  for (int i = 0; i < 3; ++i) round();
  const int descriptors = OpenDescriptors();
  const long resident = ResidentKib();
  for (int i = 0; i < rounds; ++i) round();
  const long grown = ResidentKib() - resident;
  // Up to one socket of each side is open or not at the moment of counting.
  EXPECT_LE(OpenDescriptors(), descriptors + 2);
#ifndef TLSKEEP_SANITIZED
  EXPECT_LT(grown, 512) << "KiB over " << rounds * kPerRound << " signatures";
#endif
  RecordProperty("signatures", rounds * kPerRound);
  RecordProperty("kib_grown", static_cast<int>(grown));
  EXPECT_GE(enclave_->connections(), static_cast<std::uint64_t>(rounds));
}

TEST_F(LoadTest, SixtyFourThreadsSign) {
  const int each = Long() ? 5000 : 200;
  constexpr int kThreads = 64;
  std::atomic<int> failed = 0;
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] {
      // Each signature is verified with another libcrypto than the module's.
      for (int n = 0; n < each; ++n) failed += SignEcdsaOnce(own, sign_key_, key_) != CKR_OK;
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(enclave_->requests("sign"), static_cast<std::uint64_t>(kThreads * each));
  EXPECT_LE(enclave_->connections(), 64U);
  RecordProperty("milliseconds",
                 static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
}

}  // namespace
}  // namespace tlskeep::test
