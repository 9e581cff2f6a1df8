// Logs in once a token and process, then signs in one session a thread and key.
#include "token_module.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "digest.h"
#include "stopwatch.h"

namespace tlskeep::bench {
namespace {

void Check(CK_RV rv, const char* function) {
  if (rv == CKR_OK) return;
  throw BenchError(std::string(function) + ": CKR " + std::to_string(rv));
}

std::string LabelOf(const CK_TOKEN_INFO& info) {
  std::string label;
  for (const unsigned char c : info.label) label.push_back(static_cast<char>(c));
  label.erase(label.find_last_not_of(' ') + 1);
  return label;
}

bool Matches(const std::string& label, std::string_view pattern) {
  if (pattern.ends_with('*')) return label.starts_with(pattern.substr(0, pattern.size() - 1));
  return label == pattern;
}

CK_SESSION_HANDLE OpenSession(CK_FUNCTION_LIST* functions, CK_SLOT_ID slot) {
  CK_SESSION_HANDLE session = 0;
  Check(functions->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session), "C_OpenSession");
  return session;
}

class TokenSigner final : public Signer {
 public:
  TokenSigner(CK_FUNCTION_LIST* functions, const TokenKey& key, KeyKind kind, Padding padding)
      : functions_(functions), session_(OpenSession(functions, key.slot)), key_(key.handle) {
    wraps_digest_ = kind == KeyKind::kRsa && padding == Padding::kDefault;
    if (kind == KeyKind::kEc) {
      mechanism_.mechanism = CKM_ECDSA;
    } else if (padding == Padding::kPss) {
      mechanism_ = {CKM_RSA_PKCS_PSS, &pss_, sizeof pss_};
    } else {
      mechanism_.mechanism = CKM_RSA_PKCS;
    }
  }

  ~TokenSigner() override { functions_->C_CloseSession(session_); }

  void Sign(ByteView digest, Bytes& signature) override {
    Bytes data = wraps_digest_ ? Sha256DigestInfo(digest) : Bytes(digest.begin(), digest.end());
    Check(functions_->C_SignInit(session_, &mechanism_, key_), "C_SignInit");
    CK_ULONG size = signature.size();
    Check(functions_->C_Sign(session_, data.data(), data.size(), signature.data(), &size), "C_Sign");
    signature.resize(size);
  }

 private:
  CK_FUNCTION_LIST* functions_;
  CK_SESSION_HANDLE session_;
  CK_OBJECT_HANDLE key_;
  CK_RSA_PKCS_PSS_PARAMS pss_{CKM_SHA256, CKG_MGF1_SHA256, 32};
  CK_MECHANISM mechanism_{};
  bool wraps_digest_ = false;
};

}  // namespace

TokenModule::TokenModule(const std::string& path) {
  const Stopwatch load;
  library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) throw BenchError(dlerror());
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library_, "C_GetFunctionList"));
  if (get == nullptr || get(&functions_) != CKR_OK) throw BenchError(path + " is no PKCS #11 module");
  load_us_ = load.microseconds();
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  const Stopwatch initialize;
  Check(functions_->C_Initialize(&arguments), "C_Initialize");
  initialize_us_ = initialize.microseconds();
}

TokenModule::~TokenModule() {
  functions_->C_Finalize(nullptr);
  dlclose(library_);
}

std::vector<CK_SLOT_ID> TokenModule::SlotsOf(const std::string& token) const {
  CK_ULONG count = 0;
  Check(functions_->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
  std::vector<CK_SLOT_ID> slots(count);
  Check(functions_->C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList");
  slots.resize(count);
  std::erase_if(slots, [&](CK_SLOT_ID slot) {
    CK_TOKEN_INFO info{};
    return functions_->C_GetTokenInfo(slot, &info) != CKR_OK || !Matches(LabelOf(info), token);
  });
  if (slots.empty()) throw BenchError("no token is called " + token);
  return slots;
}

std::vector<TokenKey> TokenModule::FindKeys(const std::string& token, const std::optional<std::string>& label,
                                            const std::string& pin) {
  std::vector<TokenKey> keys;
  for (const CK_SLOT_ID slot : SlotsOf(token)) {
    const CK_SESSION_HANDLE session = OpenSession(functions_, slot);
    sessions_.push_back(session);
    Bytes secret(pin.begin(), pin.end());
    Check(functions_->C_Login(session, CKU_USER, secret.data(), secret.size()), "C_Login");
    CK_OBJECT_CLASS object_class = CKO_PRIVATE_KEY;
    std::string key_label = label.value_or("");
    std::array<CK_ATTRIBUTE, 2> wanted = {{{CKA_CLASS, &object_class, sizeof object_class},
                                           {CKA_LABEL, key_label.data(), key_label.size()}}};
    Check(functions_->C_FindObjectsInit(session, wanted.data(), label ? 2 : 1), "C_FindObjectsInit");
    CK_OBJECT_HANDLE handle = 0;
    CK_ULONG found = 0;
    Check(functions_->C_FindObjects(session, &handle, 1, &found), "C_FindObjects");
    Check(functions_->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    if (found == 0) throw BenchError("a token has no such private key");
    keys.push_back({slot, handle});
  }
  return keys;
}

std::unique_ptr<Signer> TokenModule::MakeSigner(const TokenKey& key, KeyKind kind, Padding padding) const {
  return std::make_unique<TokenSigner>(functions_, key, kind, padding);
}

}  // namespace tlskeep::bench
