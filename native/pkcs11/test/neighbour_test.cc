// A consumer with a libcrypto of its own, loaded first and for all to see: neither disturbs the other.
#include <dlfcn.h>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

// The consumer's libcrypto, by its symbols alone.
class Neighbour {
 public:
  Neighbour() : handle_(dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL)) {
    if (handle_ == nullptr) throw std::runtime_error(dlerror());
  }
  ~Neighbour() { dlclose(handle_); }
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;

  Bytes Digest(ByteView data) const {
    const auto digest = reinterpret_cast<decltype(&EVP_Q_digest)>(dlsym(handle_, "EVP_Q_digest"));
    Bytes out(32);
    std::size_t size = out.size();
    EXPECT_EQ(digest(nullptr, "SHA256", nullptr, data.data(), data.size(), out.data(), &size), 1);
    return out;
  }
  void* Address(const char* symbol) const { return dlsym(handle_, symbol); }

 private:
  void* handle_;
};

// Loads the module once more beside the fixture's and uses it from beginning to end.
class NeighbourTest : public ModuleTest {
 protected:
  const Neighbour neighbour_;
  const Bytes data_ = Bytes(100, 7);
  const Bytes digest_ = neighbour_.Digest(data_);
};

TEST_F(NeighbourTest, BothWorkBeforeDuringAndAfter) {
  StartEnclave();
  Initialize();
  EXPECT_EQ(neighbour_.Digest(data_), digest_);
  const CK_SESSION_HANDLE session = LogIn();
  const CK_OBJECT_HANDLE key = FindOne(session, CKO_PRIVATE_KEY);
  CK_MECHANISM sha{CKM_SHA256, nullptr, 0};
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(SignEcdsaOnce(session, key, key_), CKR_OK);
    Bytes input = data_;
    Bytes own(32);
    CK_ULONG size = own.size();
    ASSERT_EQ(module_->C_DigestInit(session, &sha), CKR_OK);
    ASSERT_EQ(module_->C_Digest(session, input.data(), input.size(), own.data(), &size), CKR_OK);
    EXPECT_EQ(own, digest_);
    EXPECT_EQ(neighbour_.Digest(data_), digest_);
  }
  EXPECT_EQ(module_->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(neighbour_.Digest(data_), digest_);
}

TEST_F(NeighbourTest, TheModulesCopyIsItsOwn) {
  // Nothing of libcrypto is visible in the module, so nothing of the neighbour's can be taken for it.
  EXPECT_NE(neighbour_.Address("EVP_MD_CTX_new"), nullptr);
  Dl_info home{};
  ASSERT_NE(dladdr(module_.Symbol("C_Sign"), &home), 0);
  for (const char* symbol : {"EVP_MD_CTX_new", "OPENSSL_init_crypto", "RAND_bytes", "X509_free"}) {
    // dlsym on the module's handle searches what it needs as well: not there, or in another object.
    void* address = module_.Symbol(symbol);
    Dl_info found{};
    if (address == nullptr || dladdr(address, &found) == 0) continue;
    EXPECT_STRNE(found.dli_fname, home.dli_fname) << symbol;
  }
}

TEST_F(NeighbourTest, SurvivesLivesOfTheModule) {
  StartEnclave();
  for (int life = 0; life < 10; ++life) {
    {
      const LoadedModule again;
      const CK_RV rv = again->C_Initialize(nullptr);
      ASSERT_TRUE(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED);
      CK_ULONG count = 0;
      ASSERT_EQ(again->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
      EXPECT_EQ(count, 1U);
    }
    EXPECT_EQ(neighbour_.Digest(data_), digest_);
  }
}

}  // namespace
}  // namespace tlskeep::test
