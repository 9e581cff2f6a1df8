// Connections and the threads that wait on them: as many as sign at once, ended by C_Finalize, undisturbed by forks
// and signals.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

#include "child_process.h"
#include "module_fixture.h"

namespace tlskeep::test {
namespace {

// What the module allows itself, and what it counts on the service to admit.
constexpr std::size_t kMostConnections = 64;

class ConnectionTest : public ModuleTest {
 protected:
  void SetUp() override {
    setenv("TLSKEEP_DEADLINE_MS", "60000", 1);
    StartEnclave();
    Initialize();
    session_ = LogIn();
    sign_key_ = FindOne(session_, CKO_PRIVATE_KEY);
  }

  ~ConnectionTest() override {
    enclave_->HoldSignatures(false);
    Join();
  }

  // Signs once in a thread each; `results` are complete after Join.
  void SignInThreads(std::size_t count) {
    results_.assign(count, CKR_GENERAL_ERROR);
    for (CK_RV& result : results_) {
      CK_SESSION_HANDLE own = 0;
      ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
      threads_.emplace_back([this, own, &result] { result = SignEcdsaOnce(own, sign_key_, key_); });
    }
  }
  void Join() {
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
    threads_.clear();
  }
  // Until the enclave has been asked for so many signatures.
  void WaitForRequests(std::uint64_t count) {
    for (int i = 0; i < 3000 && enclave_->requests("sign") < count; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_EQ(enclave_->requests("sign"), count);
  }

  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE sign_key_ = 0;
  std::vector<CK_RV> results_;
  std::vector<std::thread> threads_;
};

TEST_F(ConnectionTest, EveryThreadThatSignsHasOneUpToALimit) {
  enclave_->HoldSignatures(true);
  SignInThreads(kMostConnections + 16);
  WaitForRequests(kMostConnections);
  enclave_->HoldSignatures(false);
  Join();
  EXPECT_EQ(results_, std::vector<CK_RV>(kMostConnections + 16, CKR_OK));
  EXPECT_EQ(enclave_->connections(), kMostConnections);
  // All of them are still there, and one thread needs one.
  for (int i = 0; i < 100; ++i) EXPECT_EQ(SignEcdsaOnce(session_, sign_key_, key_), CKR_OK);
  EXPECT_EQ(enclave_->connections(), kMostConnections);
}

TEST_F(ConnectionTest, ThreadsOneAfterAnotherShareOne) {
  for (int i = 0; i < 8; ++i) {
    SignInThreads(1);
    Join();
    EXPECT_EQ(results_, std::vector<CK_RV>(1, CKR_OK));
  }
  EXPECT_EQ(enclave_->connections(), 1U);
}

TEST_F(ConnectionTest, FinalizeEndsThoseThatWaitForAnswersAndForConnections) {
  enclave_->HoldSignatures(true);
  SignInThreads(kMostConnections + 16);
  WaitForRequests(kMostConnections);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(module_->C_Finalize(nullptr), CKR_OK);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  Join();
  EXPECT_EQ(results_, std::vector<CK_RV>(kMostConnections + 16, CKR_CRYPTOKI_NOT_INITIALIZED));
  // And the module starts again.
  enclave_->HoldSignatures(false);
  Initialize();
  const CK_SESSION_HANDLE again = LogIn();
  EXPECT_EQ(SignEcdsaOnce(again, FindOne(again, CKO_PRIVATE_KEY), key_), CKR_OK);
}

TEST_F(ConnectionTest, AChildsFinalizeLeavesItsParentsWaitAlone) {
  enclave_->HoldSignatures(true);
  SignInThreads(3);
  WaitForRequests(3);
  const std::uint64_t connections = enclave_->connections();
  const pid_t child = InChild(std::chrono::seconds(60), [&] {
    if (module_->C_Finalize(nullptr) != CKR_OK) return 2;
    if (module_->C_Initialize(nullptr) != CKR_OK) return 3;
    return module_->C_Finalize(nullptr) == CKR_OK ? 0 : 4;
  });
  EXPECT_EQ(StatusOf(child), 0);
  enclave_->HoldSignatures(false);
  Join();
  EXPECT_EQ(results_, std::vector<CK_RV>(3, CKR_OK));
  // Nothing had to be asked twice, or on another connection.
  EXPECT_EQ(enclave_->requests("sign"), 3U);
  EXPECT_EQ(enclave_->connections(), connections);
}

TEST_F(ConnectionTest, AChildBornWhileThreadsWaitSigns) {
  enclave_->HoldSignatures(true);
  SignInThreads(3);
  WaitForRequests(3);
  const pid_t child = InChild(std::chrono::seconds(60),
                              [&] { return SignEcdsaOnce(session_, sign_key_, key_) == CKR_OK ? 0 : 2; });
  WaitForRequests(4);
  enclave_->HoldSignatures(false);
  EXPECT_EQ(StatusOf(child), 0);
  Join();
  EXPECT_EQ(results_, std::vector<CK_RV>(3, CKR_OK));
  EXPECT_EQ(enclave_->requests("sign"), 4U);
}

TEST_F(ConnectionTest, SignalsDoNotDisturbAWait) {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};  // and no SA_RESTART
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  enclave_->HoldSignatures(true);
  SignInThreads(1);
  WaitForRequests(1);
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(pthread_kill(threads_.front().native_handle(), SIGUSR1), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  enclave_->HoldSignatures(false);
  Join();
  EXPECT_EQ(results_, std::vector<CK_RV>(1, CKR_OK));
  EXPECT_EQ(enclave_->requests("sign"), 1U);
  EXPECT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST_F(ConnectionTest, AShortDeadlineIsKept) {
  ASSERT_EQ(module_->C_Finalize(nullptr), CKR_OK);
  setenv("TLSKEEP_DEADLINE_MS", "40", 1);
  Initialize();
  session_ = OpenSession();
  std::string pin = kPin;
  // On a machine with much else to do, 40 ms may be over before the PIN is proved.
  CK_RV login = CKR_DEVICE_ERROR;
  for (int i = 0; i < 100 && login == CKR_DEVICE_ERROR; ++i) {
    login = module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size());
  }
  ASSERT_EQ(login, CKR_OK);
  sign_key_ = FindOne(session_, CKO_PRIVATE_KEY);
  enclave_->HoldSignatures(true);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(SignEcdsaOnce(session_, sign_key_, key_), CKR_DEVICE_ERROR);
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, std::chrono::milliseconds(40));
  EXPECT_LT(took, std::chrono::seconds(1));
}

}  // namespace
}  // namespace tlskeep::test
