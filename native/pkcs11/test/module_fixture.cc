// Environment and shorthands for the tests of the module.
#include "module_fixture.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace tlskeep::test {
namespace {

int Slowness() {
  const char* value = std::getenv("TLSKEEP_TEST_SLOWNESS");
  return value == nullptr ? 1 : std::max(1, std::atoi(value));
}

}  // namespace

const std::chrono::milliseconds ModuleTest::kDeadline{1500 * Slowness()};
const std::chrono::milliseconds ModuleTest::kListDeadline{400 * Slowness()};

ModuleTest::ModuleTest() {
  setenv("TLSKEEP_ENDPOINT", ("unix:" + directory_.socket()).c_str(), 1);
  unsetenv("TLSKEEP_ENDPOINT_FILE");
  setenv("TLSKEEP_LOG", directory_.file("log").c_str(), 1);
  setenv("TLSKEEP_DEADLINE_MS", std::to_string(kDeadline.count()).c_str(), 1);
  setenv("TLSKEEP_LIST_DEADLINE_MS", std::to_string(kListDeadline.count()).c_str(), 1);
}

ModuleTest::~ModuleTest() = default;

void ModuleTest::StartEnclave(KeyKind kind) {
  enclave_ = std::make_unique<FakeEnclave>(directory_.socket());
  FakeToken token = MakeFakeToken(kLabel, kPin, kind);
  key_ = token.key;
  enclave_->Provision(std::move(token));
}

void ModuleTest::Initialize() {
  CK_C_INITIALIZE_ARGS args{};
  args.flags = CKF_OS_LOCKING_OK;
  ASSERT_EQ(module_->C_Initialize(&args), CKR_OK);
}

CK_SLOT_ID ModuleTest::FirstSlot() {
  CK_ULONG count = 0;
  EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_OK);
  std::vector<CK_SLOT_ID> slots(count);
  EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, slots.data(), &count), CKR_OK);
  if (slots.empty()) throw std::runtime_error("no slot");
  return slots.front();
}

CK_SESSION_HANDLE ModuleTest::OpenSession() {
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  EXPECT_EQ(module_->C_OpenSession(FirstSlot(), CKF_SERIAL_SESSION, nullptr, nullptr, &session), CKR_OK);
  return session;
}

CK_SESSION_HANDLE ModuleTest::LogIn() {
  const CK_SESSION_HANDLE session = OpenSession();
  std::string pin = kPin;
  EXPECT_EQ(module_->C_Login(session, CKU_USER, reinterpret_cast<CK_BYTE_PTR>(pin.data()), pin.size()), CKR_OK);
  return session;
}

std::vector<CK_OBJECT_HANDLE> ModuleTest::Find(CK_SESSION_HANDLE session, std::vector<CK_ATTRIBUTE> wanted) {
  EXPECT_EQ(module_->C_FindObjectsInit(session, wanted.data(), wanted.size()), CKR_OK);
  std::vector<CK_OBJECT_HANDLE> found(64);
  CK_ULONG count = 0;
  EXPECT_EQ(module_->C_FindObjects(session, found.data(), found.size(), &count), CKR_OK);
  EXPECT_EQ(module_->C_FindObjectsFinal(session), CKR_OK);
  found.resize(count);
  return found;
}

CK_OBJECT_HANDLE ModuleTest::FindOne(CK_SESSION_HANDLE session, CK_OBJECT_CLASS object_class) {
  const auto found = Find(session, {ClassIs(object_class)});
  return found.empty() ? CK_INVALID_HANDLE : found.front();
}

Bytes ModuleTest::Attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
  CK_ATTRIBUTE attribute{type, nullptr, 0};
  EXPECT_EQ(module_->C_GetAttributeValue(session, object, &attribute, 1), CKR_OK) << type;
  Bytes value(attribute.ulValueLen);
  attribute.pValue = value.data();
  EXPECT_EQ(module_->C_GetAttributeValue(session, object, &attribute, 1), CKR_OK) << type;
  return value;
}

CK_RV ModuleTest::SignInit(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type,
                           const CK_RSA_PKCS_PSS_PARAMS* pss) {
  CK_RSA_PKCS_PSS_PARAMS copy{};
  CK_MECHANISM mechanism{type, nullptr, 0};
  if (pss != nullptr) {
    copy = *pss;
    mechanism.pParameter = &copy;
    mechanism.ulParameterLen = sizeof copy;
  }
  return module_->C_SignInit(session, &mechanism, key);
}

CK_RV ModuleTest::Sign(CK_SESSION_HANDLE session, ByteView data, Bytes& signature) {
  Bytes input = ToBytes(data);
  signature.assign(512, 0);
  CK_ULONG size = signature.size();
  const CK_RV rv = module_->C_Sign(session, input.data(), input.size(), signature.data(), &size);
  signature.resize(rv == CKR_OK ? size : 0);
  return rv;
}

const Bytes& ModuleTest::Digest32() {
  static const Bytes digest(32, 0x5a);
  return digest;
}

CK_RV ModuleTest::SignEcdsaOnce(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const Key& verifier) {
  if (const CK_RV rv = SignInit(session, key, CKM_ECDSA); rv != CKR_OK) return rv;
  Bytes signature;
  const CK_RV rv = Sign(session, Digest32(), signature);
  if (rv == CKR_OK && !VerifyEcdsa(verifier, Digest32(), signature)) return CKR_SIGNATURE_INVALID;
  return rv;
}

}  // namespace tlskeep::test
