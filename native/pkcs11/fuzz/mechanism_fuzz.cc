// Mechanisms and their parameters as callers hand them over.
#include <memory>

#include "error.h"
#include "fuzz_input.h"
#include "mechanism/mechanism.h"

namespace {

using namespace tlskeep;

constexpr CK_FLAGS kUses[] = {CKF_SIGN, CKF_VERIFY, CKF_ENCRYPT, CKF_DECRYPT, CKF_DIGEST};
constexpr CK_MECHANISM_TYPE kTypes[] = {CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS, CKM_RSA_PKCS_OAEP, CKM_RSA_PKCS,
                                        CKM_RSA_X_509,    CKM_ECDSA,               CKM_SHA256};

PublicKey Rsa() {
  PublicKey key{};
  key.type = CKK_RSA;
  key.bits = 2048;
  key.modulus = Bytes(256, 0xff);
  key.signature_bytes = 256;
  return key;
}

}  // namespace

// The use, the mechanism (an index, or four bytes), the length announced, and the parameter. OAEP's label
// pointer is made null or good: a wild one is the caller's own.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const PublicKey key = Rsa();
  static const std::vector<Offer> offers =
      OffersFor(CKK_RSA, {{"RSA_PKCS", "RSA_PKCS_PSS", "RSA_X_509"}, {"RSA_PKCS", "RSA_PKCS_OAEP"}, {}});
  fuzz::Input input(data, size);
  const CK_FLAGS use = kUses[input.Byte() % std::size(kUses)];
  const std::uint8_t chosen = input.Byte();
  const CK_MECHANISM_TYPE type = chosen < std::size(kTypes) ? kTypes[chosen] : input.Take<std::uint32_t>();
  const bool labelled = (input.Byte() & 1) != 0;
  const ByteView content = input.Rest();
  const std::unique_ptr<std::uint8_t[]> parameter(new std::uint8_t[content.size()]);
  std::copy(content.begin(), content.end(), parameter.get());
  static std::uint8_t label[1024];
  if (content.size() == sizeof(CK_RSA_PKCS_OAEP_PARAMS) && type == CKM_RSA_PKCS_OAEP) {
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    std::memcpy(&oaep, parameter.get(), sizeof oaep);
    oaep.pSourceData = labelled ? label : nullptr;
    std::memcpy(parameter.get(), &oaep, sizeof oaep);
  }
  const CK_MECHANISM mechanism{type, content.empty() ? nullptr : parameter.get(), content.size()};
  try {
    const Plan plan = MakePlan(mechanism, key, offers, use, kAllHashes);
    fuzz::Require(plan.shortest_data <= plan.longest_data && plan.longest_data <= key.modulus.size());
  } catch (const Pkcs11Error& error) {
    fuzz::Require(error.rv() == CKR_MECHANISM_INVALID || error.rv() == CKR_MECHANISM_PARAM_INVALID ||
                  error.rv() == CKR_KEY_TYPE_INCONSISTENT);
  }
  return 0;
}
