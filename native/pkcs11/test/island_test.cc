// The module and a consumer's own libcrypto in one process, loaded in either order: neither disturbs the other.
// Each test is a child process that has loaded neither, with the enclave in a process of its own.
#include <fcntl.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "child_process.h"
#include "foreign_libcrypto.h"
#include "loaded_module.h"

namespace tlskeep::test {
namespace {

const Bytes kMessage(100, 7);
char pin[] = "123456";

// tlskeep-fake-enclave with one Ed25519 token, until destroyed.
class EnclaveProgram {
 public:
  EnclaveProgram() {
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    process_ = fork();
    if (process_ == 0) {
      dup2(input[0], STDIN_FILENO);
      dup2(output[1], STDOUT_FILENO);
      execl(TLSKEEP_FAKE_ENCLAVE, TLSKEEP_FAKE_ENCLAVE, directory_.socket().c_str(),
            (std::string("web:") + pin + ":ed25519").c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    char ready = 0;
    EXPECT_EQ(read(output[0], &ready, 1), 1) << "the enclave did not start";
    close(output[0]);
  }
  ~EnclaveProgram() {
    close(input_);  // its end
    EXPECT_EQ(StatusOf(process_), 0);
  }
  EnclaveProgram(const EnclaveProgram&) = delete;
  EnclaveProgram& operator=(const EnclaveProgram&) = delete;
  std::string socket() const { return directory_.socket(); }
  std::string log() const { return directory_.file("log"); }

 private:
  SocketDirectory directory_;
  pid_t process_;
  int input_;
};

// One life of the module in a consumer: loaded, initialized and logged in; finalized and unloaded in the end.
class ModuleLife {
 public:
  explicit ModuleLife(int flags = RTLD_NOW | RTLD_LOCAL) : module_(flags) {
    EXPECT_EQ(module_->C_Initialize(nullptr), CKR_OK);
    CK_SLOT_ID slot = 0;
    CK_ULONG count = 1;
    EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, &slot, &count), CKR_OK);
    EXPECT_EQ(module_->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session_), CKR_OK);
    EXPECT_EQ(module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin), sizeof pin - 1), CKR_OK);
    private_key_ = Find(CKO_PRIVATE_KEY);
    public_key_ = Find(CKO_PUBLIC_KEY);
  }

  Bytes Sign(const Bytes& message) {
    Bytes data = message;
    Bytes signature(64);
    CK_ULONG size = signature.size();
    EXPECT_EQ(module_->C_SignInit(session_, &eddsa_, private_key_), CKR_OK);
    EXPECT_EQ(module_->C_Sign(session_, data.data(), data.size(), signature.data(), &size), CKR_OK);
    return signature;
  }
  // By the module's own libcrypto.
  CK_RV Verify(const Bytes& message, Bytes signature) {
    Bytes data = message;
    EXPECT_EQ(module_->C_VerifyInit(session_, &eddsa_, public_key_), CKR_OK);
    return module_->C_Verify(session_, data.data(), data.size(), signature.data(), signature.size());
  }
  Bytes Sha256(const Bytes& message) {
    Bytes data = message;
    Bytes digest(32);
    CK_ULONG size = digest.size();
    CK_MECHANISM sha{CKM_SHA256, nullptr, 0};
    EXPECT_EQ(module_->C_DigestInit(session_, &sha), CKR_OK);
    EXPECT_EQ(module_->C_Digest(session_, data.data(), data.size(), digest.data(), &size), CKR_OK);
    return digest;
  }
  Bytes PublicKey() {
    Bytes point(34);  // an OCTET STRING of 32 bytes
    CK_ATTRIBUTE attribute{CKA_EC_POINT, point.data(), point.size()};
    EXPECT_EQ(module_->C_GetAttributeValue(session_, public_key_, &attribute, 1), CKR_OK);
    return {point.begin() + 2, point.end()};
  }
  // All that it does by its own libcrypto or by the enclave, and what fails in both.
  void UseAll() {
    const Bytes signature = Sign(kMessage);
    EXPECT_EQ(Verify(kMessage, signature), CKR_OK);
    EXPECT_EQ(Verify(Bytes(100, 8), signature), CKR_SIGNATURE_INVALID);
    EXPECT_EQ(Sha256({}).front(), 0xe3);  // SHA-256 of nothing
    char wrong[] = "wrong pin";
    CK_BYTE random[16];
    EXPECT_EQ(module_->C_GenerateRandom(session_, random, sizeof random), CKR_OK);
    EXPECT_EQ(module_->C_Logout(session_), CKR_OK);
    EXPECT_EQ(module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(wrong), sizeof wrong - 1),
              CKR_PIN_INCORRECT);
    EXPECT_EQ(module_->C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR_PTR>(pin), sizeof pin - 1), CKR_OK);
  }
  void* Symbol(const char* name) const { return module_.Symbol(name); }

 private:
  CK_OBJECT_HANDLE Find(CK_OBJECT_CLASS object_class) {
    CK_ATTRIBUTE wanted{CKA_CLASS, &object_class, sizeof object_class};
    CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    EXPECT_EQ(module_->C_FindObjectsInit(session_, &wanted, 1), CKR_OK);
    EXPECT_EQ(module_->C_FindObjects(session_, &found, 1, &count), CKR_OK);
    EXPECT_EQ(module_->C_FindObjectsFinal(session_), CKR_OK);
    return found;
  }

  LoadedModule module_;
  CK_MECHANISM eddsa_{CKM_EDDSA, nullptr, 0};
  CK_SESSION_HANDLE session_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_key_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE public_key_ = CK_INVALID_HANDLE;
};

class IslandTest : public testing::Test {
 protected:
  IslandTest() {
    setenv("TLSKEEP_ENDPOINT", ("unix:" + enclave_.socket()).c_str(), 1);
    setenv("TLSKEEP_LOG", enclave_.log().c_str(), 1);
  }

  // Runs the body, given the pipe for OwnState, in a child that then ends by exit(): without failures, and
  // with `handlers` exit handlers run whose libcrypto still worked.
  static void InExitingChild(int handlers, const std::function<void(int)>& body) {
    int pipe[2];
    ASSERT_EQ(pipe2(pipe, O_CLOEXEC), 0);
    fflush(nullptr);  // or the child writes it again
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      try {
        body(pipe[1]);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
      exit(HasFailure() ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    close(pipe[1]);
    EXPECT_EQ(StatusOf(child), EXIT_SUCCESS);
    std::string worked(8, '\0');
    worked.resize(static_cast<std::size_t>(read(pipe[0], worked.data(), worked.size())));
    EXPECT_EQ(worked, std::string(static_cast<std::size_t>(handlers), 'y'));
    close(pipe[0]);
  }

  // Signs by the module and verifies by the consumer's libcrypto.
  static void SignAndVerify(ModuleLife& module, const ForeignLibcrypto& libcrypto) {
    EXPECT_TRUE(libcrypto.VerifiesEd25519(module.PublicKey(), kMessage, module.Sign(kMessage)));
    EXPECT_EQ(module.Sha256(kMessage), libcrypto.Sha256(kMessage));
  }

  const EnclaveProgram enclave_;
};

TEST_F(IslandTest, LivesBesideALibcryptoThatWasFirst) {
  InExitingChild(1, [](int exit_pipe) {
    static const ForeignLibcrypto libcrypto;
    OwnState state(libcrypto, exit_pipe);
    for (int life = 0; life < 5; ++life) {
      {
        ModuleLife module;
        module.UseAll();
        state.ExpectUndisturbed();
        SignAndVerify(module, libcrypto);
        state.ForgetAllocations();
      }
      EXPECT_FALSE(ModuleIsMapped());
      state.ExpectUndisturbed();
    }
  });
}

TEST_F(IslandTest, ALibcryptoMayComeLater) {
  InExitingChild(1, [](int exit_pipe) {
    auto module = std::make_unique<ModuleLife>(RTLD_NOW | RTLD_GLOBAL);
    module->UseAll();
    static const ForeignLibcrypto libcrypto;
    OwnState state(libcrypto, exit_pipe);
    module->UseAll();
    state.ExpectUndisturbed();
    SignAndVerify(*module, libcrypto);
    state.ForgetAllocations();
    module.reset();
    EXPECT_FALSE(ModuleIsMapped());
    state.ExpectUndisturbed();
    ModuleLife again;
    again.UseAll();
    state.ExpectUndisturbed();
    SignAndVerify(again, libcrypto);
  });
}

TEST_F(IslandTest, ALibcryptoMayGoFirst) {
  InExitingChild(0, [](int) {
    auto libcrypto = std::make_unique<ForeignLibcrypto>();
    ModuleLife module;
    SignAndVerify(module, *libcrypto);
    libcrypto.reset();
    module.UseAll();
  });
}

TEST_F(IslandTest, TheProcessMayEndWithBothInUse) {
  for (const bool module_first : {false, true}) {
    InExitingChild(1, [module_first](int exit_pipe) {
      static ModuleLife* module = module_first ? new ModuleLife : nullptr;
      static const ForeignLibcrypto libcrypto;
      OwnState state(libcrypto, exit_pipe);
      if (!module_first) module = new ModuleLife;
      module->UseAll();
      state.ExpectUndisturbed();
    });
  }
}

TEST_F(IslandTest, BothAreBusyInThreadsWhileTheModuleComesAndGoes) {
  InExitingChild(0, [](int) {
    const ForeignLibcrypto libcrypto;
    const Bytes digest = libcrypto.Sha256(kMessage);
    std::atomic<bool> stop = false;
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        while (!stop) wrong += libcrypto.Sha256(kMessage) != digest;
      });
    }
    for (int life = 0; life < 10; ++life) {
      ModuleLife module;
      SignAndVerify(module, libcrypto);
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  });
}

TEST_F(IslandTest, ForkedChildrenHaveBoth) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "a forked child leaks on purpose: it leaves what its parent's threads may wait on to itself";
#endif
  InExitingChild(2, [](int exit_pipe) {
    static const ForeignLibcrypto libcrypto;
    OwnState state(libcrypto, exit_pipe);
    ModuleLife module;
    module.UseAll();
    fflush(nullptr);
    const pid_t child = fork();
    module.UseAll();
    state.ExpectUndisturbed();
    SignAndVerify(module, libcrypto);
    if (child == 0) return;  // to exit() with the handler inherited
    EXPECT_EQ(StatusOf(child), EXIT_SUCCESS);
    SignAndVerify(module, libcrypto);
  });
}

// A consumer's openssl.cnf that leaves it without any algorithm.
TEST_F(IslandTest, TheConsumersConfigurationIsItsOwn) {
  const SocketDirectory directory;
  const std::string path = directory.file("openssl.cnf");
  std::ofstream(path) << "openssl_conf = init\n[init]\nalg_section = algorithms\n"
                         "[algorithms]\ndefault_properties = tlskeep.island=yes\n";
  setenv("OPENSSL_CONF", path.c_str(), 1);
  InExitingChild(0, [](int) {
    const ForeignLibcrypto libcrypto;
    const auto fetch = libcrypto.Find<void*(void*, const char*, const char*)>("EVP_MD_fetch");
    if (fetch == nullptr) return;  // before 3.0 there were no properties
    for (int life = 0; life < 3; ++life) {
      EXPECT_EQ(fetch(nullptr, "SHA256", nullptr), nullptr) << "the configuration has been read";
      ModuleLife().UseAll();
    }
  });
  unsetenv("OPENSSL_CONF");
}

// The decoy's functions are those of a libcrypto, and end the process.
TEST_F(IslandTest, NothingIsTakenFromWhatWasLoadedFirst) {
  InExitingChild(0, [](int) {
    void* decoy = dlopen(TLSKEEP_DECOY, RTLD_NOW | RTLD_GLOBAL);
    ASSERT_NE(decoy, nullptr) << dlerror();
    for (int life = 0; life < 2; ++life) {
      ModuleLife module;
      module.UseAll();
      for (const char* symbol : {"EVP_MD_CTX_new", "OPENSSL_init_crypto", "RAND_bytes", "X509_free"}) {
        EXPECT_EQ(dlsym(RTLD_DEFAULT, symbol), dlsym(decoy, symbol));
        EXPECT_EQ(module.Symbol(symbol), nullptr);  // neither its own nor that of a library it needs
      }
    }
  });
}

}  // namespace
}  // namespace tlskeep::test
