// CKM_RSA_PKCS_PSS and CKM_SHA*_RSA_PKCS_PSS: RSASSA-PSS (RFC 8017 §8.1) with one hash for the message and
// for MGF1.
#include <algorithm>
#include <cstring>

#include "crypto/rsa.h"
#include "error.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

constexpr CK_FLAGS kSignature = CKF_SIGN | CKF_VERIFY;

constexpr Mechanism kMechanisms[] = {
    {CKM_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", std::nullopt, kSignature, 2048, 4096},
    {CKM_SHA1_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha1, kSignature, 2048, 4096},
    {CKM_SHA224_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha224, kSignature, 2048, 4096},
    {CKM_SHA256_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha256, kSignature, 2048, 4096},
    {CKM_SHA384_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha384, kSignature, 2048, 4096},
    {CKM_SHA512_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha512, kSignature, 2048, 4096},
};

[[noreturn]] void BadParameter(const char* what) { throw Pkcs11Error(CKR_MECHANISM_PARAM_INVALID, what); }

class RsaPss final : public Family {
 public:
  std::span<const Mechanism> mechanisms() const override { return kMechanisms; }

  Plan MakePlan(const PlanRequest& request) const override {
    CK_RSA_PKCS_PSS_PARAMS parameter;
    if (request.requested.pParameter == nullptr || request.requested.ulParameterLen != sizeof parameter) {
      BadParameter("PSS without CK_RSA_PKCS_PSS_PARAMS");
    }
    std::memcpy(&parameter, request.requested.pParameter, sizeof parameter);
    const HashAlgorithm hash = HashOfMechanism(parameter.hashAlg);
    if (HashOfMgf(parameter.mgf) != hash) BadParameter("PSS with another hash in MGF1");
    if (request.mechanism.hash && *request.mechanism.hash != hash) {
      BadParameter("PSS with another hash than the mechanism's");
    }
    if (std::find(request.hashes.begin(), request.hashes.end(), hash) == request.hashes.end()) {
      BadParameter("PSS with a hash that the enclave does not accept");
    }
    const std::size_t digest_bytes = HashBytes(hash);
    const std::size_t encoded_bytes = (request.key.bits - 1 + 7) / 8;  // RFC 8017 §9.1.1, emLen
    if (parameter.sLen > encoded_bytes - digest_bytes - 2) BadParameter("PSS salt longer than the key allows");
    return {&request.mechanism, digest_bytes, digest_bytes, PssParameter{HashName(hash), parameter.sLen}};
  }

  Bytes SignData(const Plan&, const PublicKey&, ByteView input) const override { return ToBytes(input); }

  bool Verify(Libcrypto& libcrypto, const Plan& plan, const PublicKey& key, ByteView input,
              ByteView signature) const override {
    return RsaPublicKey(libcrypto, key).VerifyPss(std::get<PssParameter>(plan.parameter), input, signature);
  }
};

constinit const RsaPss family;

}  // namespace

const Family& RsaPssFamily() { return family; }

}  // namespace tlskeep
