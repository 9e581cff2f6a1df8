// What the module makes of a broken, hostile, busy, restarted or absent enclave.
#include <atomic>
#include <thread>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

class FaultTest : public ModuleTest {
 protected:
  void SetUp() override {
    StartEnclave();
    Initialize();
    session_ = LogIn();
    sign_key_ = FindOne(session_, CKO_PRIVATE_KEY);
    ASSERT_EQ(SignEcdsaOnce(session_, sign_key_, key_), CKR_OK);
  }
  CK_RV SignNow() { return SignEcdsaOnce(session_, sign_key_, key_); }

  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE sign_key_ = 0;
};

// Under the usual deadline: for what is not about time, however slow the machine.
class UnhurriedFaultTest : public FaultTest {
 protected:
  UnhurriedFaultTest() { unsetenv("TLSKEEP_DEADLINE_MS"); }
};

class Faults : public FaultTest, public testing::WithParamInterface<Fault> {};

TEST_P(Faults, OnceOrTwiceCostsTimeAlone) {
  for (const int times : {1, 2}) {
    enclave_->Misbehave(GetParam(), times);
    EXPECT_EQ(SignNow(), CKR_OK) << times;
  }
}

TEST_P(Faults, ForGoodIsADeviceErrorInBoundedTime) {
  enclave_->Misbehave(GetParam(), 1'000'000);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(SignNow(), CKR_DEVICE_ERROR);
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, kDeadline);
  EXPECT_LT(took, kDeadline + std::chrono::seconds(1));
  // Searches go on with what is known.
  EXPECT_EQ(FindOne(session_, CKO_PRIVATE_KEY), sign_key_);
  enclave_->Misbehave(Fault::kNone, 0);
  EXPECT_EQ(SignNow(), CKR_OK);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Faults,
                         testing::Values(Fault::kGarbage, Fault::kClose, Fault::kCloseMidFrame, Fault::kOversized,
                                         Fault::kEmptyFrame, Fault::kWrongId, Fault::kTrailing, Fault::kDeep,
                                         Fault::kHugeArray, Fault::kBusy),
                         [](const auto& tested) { return FaultName(tested.param); });

TEST_F(FaultTest, AHungConnectionLeavesTimeForAnother) {
  enclave_->Misbehave(Fault::kSilent, 1);
  EXPECT_EQ(SignNow(), CKR_OK);
}

TEST_F(FaultTest, AnEnclaveThatIsGone) {
  enclave_->Stop();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(SignNow(), CKR_DEVICE_ERROR);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kDeadline + std::chrono::seconds(1));
}

TEST_F(FaultTest, ARestartWithoutTokensIsWaitedFor) {
  FakeToken token = MakeFakeToken(kLabel, kPin, KeyKind::kP256);
  token.key = key_;
  token.certificates = MakeChain(key_, "localhost");
  enclave_->Stop();
  enclave_->Clear();
  std::thread restart([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    enclave_->Start();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    enclave_->Provision(token);
  });
  EXPECT_EQ(SignNow(), CKR_OK);
  restart.join();
  EXPECT_GT(enclave_->requests("login"), 2U);  // it was there, and refused the token as unknown
}

TEST_F(FaultTest, ARestartThatNeverGetsItsTokenEndsInTime) {
  enclave_->Stop();
  enclave_->Clear();
  enclave_->Start();
  EXPECT_EQ(SignNow(), CKR_TOKEN_NOT_PRESENT);
}

TEST_F(FaultTest, ATokenRemovedFromARunningEnclaveIsKnownAtOnce) {
  enclave_->Remove(kLabel);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(SignNow(), CKR_KEY_HANDLE_INVALID);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kDeadline / 2);
}

TEST_F(UnhurriedFaultTest, RestartsUnderLoadFailNothing) {
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::atomic<int> signed_count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] {
      while (!stop) {
        if (SignEcdsaOnce(own, sign_key_, key_) == CKR_OK) {
          ++signed_count;
        } else {
          ++failed;
        }
      }
    });
  }
  // However slow the machine: the load is there before each stop and behind the last start.
  const auto sign_some = [&] {
    const int enough = signed_count + 20;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (signed_count < enough && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_GE(signed_count, enough);
  };
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    sign_some();
    enclave_->Stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    enclave_->Start();
  }
  sign_some();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(signed_count, 100);
}

TEST_F(FaultTest, AProvisionedAnewTokenIsLoggedInToAgain) {
  // The enclave forgets logins with the connection only; another connection has none at all.
  enclave_->Stop();
  enclave_->Start();
  EXPECT_EQ(SignNow(), CKR_OK);
  EXPECT_EQ(enclave_->requests("login"), 2U);
}

}  // namespace
}  // namespace tlskeep::test
