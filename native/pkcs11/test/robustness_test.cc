// Enclaves that are slow, gone, elsewhere or hostile, forks at every moment, exec: exact codes in bounded time.
#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "child_process.h"
#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

class RobustnessTest : public ModuleTest {
 protected:
  void Begin() {
    StartEnclave();
    Initialize();
    session_ = LogIn();
    sign_key_ = FindOne(session_, CKO_PRIVATE_KEY);
    ASSERT_EQ(SignNow(), CKR_OK);
  }
  CK_RV SignNow() { return SignEcdsaOnce(session_, sign_key_, key_); }
  FakeToken SameToken(const std::string& pin) {
    FakeToken token;
    token.label = kLabel;
    token.pin = pin;
    token.key = key_;
    token.certificates = MakeChain(key_, "localhost");
    return token;
  }
  template <typename Body>
  static pid_t InChild(Body body) {
    return tlskeep::InChild(std::chrono::seconds(60), body);
  }

  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE sign_key_ = 0;
};

// What each misfortune makes of C_Sign while it lasts, and how long that may take; afterwards all is well.
TEST_F(RobustnessTest, EveryMisfortuneHasItsCodeAndEnds) {
  Begin();
  struct Row {
    const char* name;
    std::function<void()> begin;
    std::function<void()> end;
    CK_RV rv;
    milliseconds at_least;
    milliseconds at_most;
  };
  const auto misbehave = [this](Fault fault) {
    return [this, fault] { enclave_->Misbehave(fault, 1'000'000); };
  };
  const auto behave = [this] { enclave_->Misbehave(Fault::kNone, 0); };
  const milliseconds whole = kDeadline;
  const milliseconds late = kDeadline + seconds(1);
  const Row rows[] = {
      {"gone", [this] { enclave_->Stop(); }, [this] { enclave_->Start(); }, CKR_DEVICE_ERROR, whole, late},
      {"garbage", misbehave(Fault::kGarbage), behave, CKR_DEVICE_ERROR, whole, late},
      {"closes mid-frame", misbehave(Fault::kCloseMidFrame), behave, CKR_DEVICE_ERROR, whole, late},
      {"silent", misbehave(Fault::kSilent), behave, CKR_DEVICE_ERROR, whole, late},
      {"busy", misbehave(Fault::kBusy), behave, CKR_DEVICE_ERROR, whole, late},
      {"slow within the deadline", [this] { enclave_->SetDelay(milliseconds(400)); },
       [this] { enclave_->SetDelay(milliseconds(0)); }, CKR_OK, milliseconds(400), milliseconds(900)},
      {"slow beyond it", [this] { enclave_->SetDelay(kDeadline + seconds(1)); },
       [this] { enclave_->SetDelay(milliseconds(0)); }, CKR_DEVICE_ERROR, whole, late},
      {"restarted", [this] {
         enclave_->Stop();
         enclave_->Start();
       }, [] {}, CKR_OK, milliseconds(0), milliseconds(500)},
      {"restarted and empty", [this] {
         enclave_->Stop();
         enclave_->Clear();
         enclave_->Start();
       }, [this] { enclave_->Provision(SameToken(kPin)); }, CKR_TOKEN_NOT_PRESENT, whole, late},
      {"another connection refused", [this] {
         enclave_->Stop();
         enclave_->SetLargestConnections(0);
         enclave_->Start();
       }, [this] { enclave_->SetLargestConnections(1024); }, CKR_DEVICE_ERROR, whole, late},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    row.begin();
    const auto start = Clock::now();
    EXPECT_EQ(SignNow(), row.rv);
    const auto took = Clock::now() - start;
    EXPECT_GE(took, row.at_least);
    EXPECT_LT(took, row.at_most);
    row.end();
    EXPECT_EQ(SignNow(), CKR_OK);
  }
}

TEST_F(RobustnessTest, AnAnswerAfterThreeSecondsIsWaitedForUnderTheUsualDeadline) {
  unsetenv("TLSKEEP_DEADLINE_MS");
  Begin();
  enclave_->SetDelay(seconds(3));
  const auto start = Clock::now();
  EXPECT_EQ(SignNow(), CKR_OK);
  EXPECT_LT(Clock::now() - start, milliseconds(3900));
  EXPECT_EQ(enclave_->requests("sign"), 2U);  // not asked twice
}

TEST_F(RobustnessTest, ANewPinEndsTheLoginUntilTheNext) {
  Begin();
  enclave_->Provision(SameToken("another pin"));
  enclave_->Stop();
  enclave_->Start();
  EXPECT_EQ(SignNow(), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(SignNow(), CKR_USER_NOT_LOGGED_IN);
  std::string pin = kPin;
  EXPECT_EQ(module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size()),
            CKR_PIN_INCORRECT);
  pin = "another pin";
  EXPECT_EQ(module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin.data()), pin.size()), CKR_OK);
  EXPECT_EQ(SignNow(), CKR_OK);
}

TEST_F(RobustnessTest, MovesUnderLoadFailNothing) {
  unsetenv("TLSKEEP_ENDPOINT");
  unsetenv("TLSKEEP_DEADLINE_MS");
  const std::string endpoint = directory_.file("endpoint");
  setenv("TLSKEEP_ENDPOINT_FILE", endpoint.c_str(), 1);
  const auto point_to = [&](const std::string& socket) {
    std::ofstream(endpoint + ".new") << "unix:" << socket << "\n";
    ASSERT_EQ(rename((endpoint + ".new").c_str(), endpoint.c_str()), 0);
  };
  point_to(directory_.socket());
  Begin();
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] {
      while (!stop) failed += SignEcdsaOnce(own, sign_key_, key_) != CKR_OK;
    });
  }
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(milliseconds(100));
    const std::string socket = directory_.file("moved" + std::to_string(i));
    auto moved = std::make_unique<FakeEnclave>(socket);
    moved->Provision(SameToken(kPin));
    point_to(socket);
    enclave_ = std::move(moved);  // the old one ends
  }
  std::this_thread::sleep_for(milliseconds(200));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(enclave_->requests("sign"), 0U);
}

TEST_F(RobustnessTest, EightChildrenAndTheParentSignUnderLoad) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator may stay locked in a forked child";
#endif
  Begin();
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] {
      while (!stop) failed += SignEcdsaOnce(own, sign_key_, key_) != CKR_OK;
    });
  }
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(InChild([&] {
      for (int n = 0; n < 250; ++n) {
        if (SignNow() != CKR_OK) return 1;
      }
      return 0;
    }));
  }
  for (int i = 0; i < 250; ++i) EXPECT_EQ(SignNow(), CKR_OK);
  for (const pid_t child : children) EXPECT_EQ(StatusOf(child), 0);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
}

// Local work holds locks of the module's libcrypto; a fork must not catch them.
TEST_F(RobustnessTest, ForksDuringLocalWorkOfOtherThreads) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's allocator may stay locked in a forked child";
#endif
  Begin();
  const CK_OBJECT_HANDLE pub = FindOne(session_, CKO_PUBLIC_KEY);
  Bytes signature;
  ASSERT_EQ(SignInit(session_, sign_key_, CKM_ECDSA), CKR_OK);
  ASSERT_EQ(Sign(session_, Digest32(), signature), CKR_OK);
  const auto verify = [&](CK_SESSION_HANDLE session) {
    Bytes data = Digest32();
    Bytes copy = signature;
    CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
    if (module_->C_VerifyInit(session, &mechanism, pub) != CKR_OK) return 1;
    return module_->C_Verify(session, data.data(), data.size(), copy.data(), copy.size()) == CKR_OK ? 0 : 1;
  };
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] {
      while (!stop) failed += verify(own);
    });
  }
  for (int i = 0; i < 60; ++i) EXPECT_EQ(StatusOf(InChild([&] { return verify(session_) + (SignNow() != CKR_OK); })), 0);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
}

TEST_F(RobustnessTest, AnExecutedProgramInheritsNoDescriptor) {
  Begin();
  const pid_t child = fork();
  if (child == 0) {
    // Fails if a descriptor beyond the standard ones is a socket or an eventfd.
    execl("/bin/sh", "sh", "-c", "! ls -l /proc/self/fd | awk '$9 > 2' | grep -qE 'socket:|eventfd'", static_cast<char*>(nullptr));
    _exit(9);
  }
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(SignNow(), CKR_OK);
}

TEST_F(RobustnessTest, FinalizeWithEveryKindOfOperationInFlight) {
  setenv("TLSKEEP_DEADLINE_MS", "60000", 1);
  Begin();
  std::vector<std::thread> threads;
  std::atomic<int> ended = 0;
  std::vector<CK_SESSION_HANDLE> sessions(8);
  for (CK_SESSION_HANDLE& own : sessions) {
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
  }
  enclave_->Misbehave(Fault::kSilent, 1'000'000);
  const auto run = [&](std::function<CK_RV()> body) {
    threads.emplace_back([&ended, body] { ended += body() == CKR_CRYPTOKI_NOT_INITIALIZED; });
  };
  for (std::size_t i = 0; i < sessions.size(); i += 2) {
    run([this, own = sessions[i]] { return SignEcdsaOnce(own, sign_key_, key_); });
    run([this, own = sessions[i + 1]] {
      CK_BYTE bytes[16];
      return module_->C_GenerateRandom(own, bytes, sizeof bytes);
    });
    run([this] {
      CK_SLOT_ID slot = 0;
      return module_->C_WaitForSlotEvent(0, &slot, nullptr);
    });
  }
  std::this_thread::sleep_for(milliseconds(300));
  const auto start = Clock::now();
  EXPECT_EQ(module_->C_Finalize(nullptr), CKR_OK);
  EXPECT_LT(Clock::now() - start, seconds(2));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 12);
}

}  // namespace
}  // namespace tlskeep::test
