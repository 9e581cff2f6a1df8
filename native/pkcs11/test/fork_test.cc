// Threads and forks. A forked child goes on with the sessions, logins and handles of its parent.
#include <dirent.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "child_process.h"
#include "module_fixture.h"

namespace tlskeep::test {
namespace {

class ForkTest : public ModuleTest {
 protected:
  void SetUp() override {
    StartEnclave();
    Initialize();
    session_ = LogIn();
    sign_key_ = FindOne(session_, CKO_PRIVATE_KEY);
  }

  template <typename Body>
  static pid_t InChild(Body body) {
    return tlskeep::InChild(std::chrono::seconds(30), body);
  }
  int SignMany(CK_SESSION_HANDLE session, int count) {
    for (int i = 0; i < count; ++i) {
      if (SignEcdsaOnce(session, sign_key_, key_) != CKR_OK) return 1;
    }
    return 0;
  }

  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE sign_key_ = 0;
};

int OpenSockets() {
  int sockets = 0;
  DIR* directory = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(directory)) {
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(atoi(entry->d_name), SOL_SOCKET, SO_TYPE, &type, &size) == 0) ++sockets;
  }
  closedir(directory);
  return sockets;
}

// Mappings that are locked (lo) and left out of core dumps (dd).
int LockedUndumpedPages() {
  std::ifstream maps("/proc/self/smaps");
  int pages = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.rfind("VmFlags:", 0) == 0 && line.find(" lo") != line.npos && line.find(" dd") != line.npos) ++pages;
  }
  return pages;
}

TEST_F(ForkTest, SixteenThreadsSign) {
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] { failed += SignMany(own, 200); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_LE(enclave_->connections(), 16U);
}

TEST_F(ForkTest, AServiceWithFewConnectionsServesThemAll) {
  enclave_->SetLargestConnections(2);
  enclave_->SetDelay(std::chrono::milliseconds(1));
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] { failed += SignMany(own, 5); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
}

TEST_F(ForkTest, ThePinStaysLockedAndOutOfDumps) {
#ifdef TLSKEEP_SANITIZED
  GTEST_SKIP() << "sanitizers make mlock do nothing";
#endif
  EXPECT_EQ(LockedUndumpedPages(), 1);
  const pid_t child = InChild([&] { return LockedUndumpedPages() == 1 && SignMany(session_, 1) == 0 ? 0 : 1; });
  EXPECT_EQ(StatusOf(child), 0);
  ASSERT_EQ(module_->C_Logout(session_), CKR_OK);
  EXPECT_EQ(LockedUndumpedPages(), 0);
}

TEST_F(ForkTest, ThreadsMixEverything) {
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        CK_SESSION_HANDLE own = 0;
        if (module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own) != CKR_OK) ++failed;
        if (FindOne(own, CKO_PRIVATE_KEY) == CK_INVALID_HANDLE) ++failed;
        failed += SignMany(own, 2);
        if (module_->C_CloseSession(own) != CKR_OK) ++failed;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    FakeToken renewed = MakeFakeToken("z" + std::to_string(i % 3), "9999", KeyKind::kP256);
    enclave_->Provision(std::move(renewed));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
}

TEST_F(ForkTest, ParentAndFourChildrenSignAtOnce) {
  ASSERT_EQ(SignMany(session_, 1), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) children.push_back(InChild([&] { return SignMany(session_, 100); }));
  EXPECT_EQ(SignMany(session_, 100), 0);
  for (const pid_t child : children) EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(SignMany(session_, 10), 0);
  EXPECT_EQ(enclave_->connections(), 5U);  // the parent kept its own
}

TEST_F(ForkTest, AnActiveOperationGoesOnInBoth) {
  ASSERT_EQ(SignInit(session_, sign_key_, CKM_ECDSA), CKR_OK);
  const auto finish = [&] {
    Bytes signature;
    return Sign(session_, Digest32(), signature) == CKR_OK && VerifyEcdsa(key_, Digest32(), signature) ? 0 : 1;
  };
  const pid_t child = InChild(finish);
  EXPECT_EQ(finish(), 0);
  EXPECT_EQ(StatusOf(child), 0);
}

TEST_F(ForkTest, ForksDuringOtherThreadsOperations) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the address sanitizer's allocator may stay locked in a forked child";
#endif
  enclave_->SetDelay(std::chrono::milliseconds(3));
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 10; ++i) {
    CK_SESSION_HANDLE own = 0;
    ASSERT_EQ(module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own), CKR_OK);
    threads.emplace_back([&, own] {
      while (!stop) {
        failed += SignMany(own, 1);
        if (FindOne(own, CKO_PRIVATE_KEY) == CK_INVALID_HANDLE) ++failed;
      }
    });
  }
  for (int i = 0; i < 40; ++i) {
    const pid_t child = InChild([&] {
      if (FindOne(session_, CKO_PRIVATE_KEY) != sign_key_) return 2;
      if (SignMany(session_, 3) != 0) return 3;
      return module_->C_Finalize(nullptr) == CKR_OK ? 0 : 4;
    });
    EXPECT_EQ(StatusOf(child), 0);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
}

TEST_F(ForkTest, AChildMayInitializeOnce) {
  const pid_t child = InChild([&] {
    if (module_->C_Initialize(nullptr) != CKR_OK) return 2;
    if (module_->C_Initialize(nullptr) != CKR_CRYPTOKI_ALREADY_INITIALIZED) return 3;
    if (SignMany(session_, 1) != 0) return 4;
    // A consumer that follows the standard to the letter logs in anew.
    std::string pin = "wrong pin";
    if (module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()) !=
        CKR_USER_ALREADY_LOGGED_IN) {
      return 5;
    }
    pin = kPin;
    if (module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()) != CKR_OK) return 6;
    if (module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()) !=
        CKR_USER_ALREADY_LOGGED_IN) {
      return 7;
    }
    return SignMany(session_, 1) == 0 ? 0 : 8;
  });
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(module_->C_Initialize(nullptr), CKR_CRYPTOKI_ALREADY_INITIALIZED);
}

TEST_F(ForkTest, AChildMayFinalizeAndStartAnew) {
  const pid_t child = InChild([&] {
    if (module_->C_Finalize(nullptr) != CKR_OK) return 2;
    if (module_->C_Initialize(nullptr) != CKR_OK) return 3;
    CK_SESSION_INFO info{};
    if (module_->C_GetSessionInfo(session_, &info) != CKR_SESSION_HANDLE_INVALID) return 4;
    const CK_SESSION_HANDLE own = LogIn();
    const CK_OBJECT_HANDLE key = FindOne(own, CKO_PRIVATE_KEY);
    return SignEcdsaOnce(own, key, key_) == CKR_OK ? 0 : 5;
  });
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(SignMany(session_, 1), 0);
}

// pkcs11-provider does so in each worker that a server starts, with a lock held for which its other threads
// wait one second.
TEST_F(ForkTest, AChildThatStartsAnewNeedsNoEnclaveToLogIn) {
  enclave_->Stop();
  const pid_t child = InChild([&] {
    const auto began = std::chrono::steady_clock::now();
    if (module_->C_Finalize(nullptr) != CKR_OK) return 2;
    CK_INFO info{};
    if (module_->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED) return 3;
    if (module_->C_Finalize(nullptr) != CKR_CRYPTOKI_NOT_INITIALIZED) return 4;
    if (module_->C_Initialize(nullptr) != CKR_OK) return 5;
    CK_SESSION_HANDLE own = 0;
    if (module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own) != CKR_OK) return 6;
    CK_SESSION_INFO session{};
    if (module_->C_GetSessionInfo(own, &session) != CKR_OK) return 7;
    if (session.state != CKS_RO_PUBLIC_SESSION) return 8;
    std::string pin = kPin;
    if (module_->C_Login(own, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()) != CKR_OK) return 9;
    if (std::chrono::steady_clock::now() - began > std::chrono::milliseconds(500)) return 10;
    if (FindOne(own, CKO_PRIVATE_KEY) == CK_INVALID_HANDLE) return 11;
    // What it has logged out of it proves anew.
    if (module_->C_Logout(own) != CKR_OK) return 12;
    return module_->C_Login(own, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()) == CKR_DEVICE_ERROR
               ? 0
               : 13;
  });
  EXPECT_EQ(StatusOf(child), 0);
}

TEST_F(ForkTest, AChildThatStartsAnewProvesAnotherPin) {
  const pid_t child = InChild([&] {
    if (module_->C_Finalize(nullptr) != CKR_OK) return 2;
    if (module_->C_Initialize(nullptr) != CKR_OK) return 3;
    CK_SESSION_HANDLE own = 0;
    if (module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own) != CKR_OK) return 4;
    std::string pin = "wrong pin";
    return module_->C_Login(own, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()) == CKR_PIN_INCORRECT
               ? 0
               : 5;
  });
  EXPECT_EQ(StatusOf(child), 0);
}

TEST_F(ForkTest, AGrandchildThatStartsAnewKnowsWhatItsGrandparentProved) {
  enclave_->Stop();
  const pid_t child = InChild([&] {
    if (module_->C_Finalize(nullptr) != CKR_OK) return 2;
    if (module_->C_Initialize(nullptr) != CKR_OK) return 3;
    return StatusOf(InChild([&] {
      if (module_->C_Finalize(nullptr) != CKR_OK) return 2;
      if (module_->C_Initialize(nullptr) != CKR_OK) return 3;
      CK_SESSION_HANDLE own = 0;
      if (module_->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &own) != CKR_OK) return 4;
      std::string pin = kPin;
      return module_->C_Login(own, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()) == CKR_OK ? 0 : 5;
    }));
  });
  EXPECT_EQ(StatusOf(child), 0);
}

TEST_F(ForkTest, AChildHoldsNoneOfItsParentsConnections) {
  ASSERT_EQ(SignMany(session_, 1), 0);
  const int before = OpenSockets();
  const pid_t child = InChild([&] { return before - OpenSockets(); });
  EXPECT_EQ(StatusOf(child), 1);
}

TEST_F(ForkTest, GrandchildrenToo) {
  const pid_t child = InChild([&] {
    if (SignMany(session_, 1) != 0) return 2;
    return StatusOf(InChild([&] { return SignMany(session_, 1); }));
  });
  EXPECT_EQ(StatusOf(child), 0);
}

}  // namespace
}  // namespace tlskeep::test
