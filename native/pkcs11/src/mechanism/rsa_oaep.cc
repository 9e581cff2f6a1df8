// CKM_RSA_PKCS_OAEP: RSAES-OAEP (RFC 8017 §7.1), encryption here, decryption in the enclave.
#include <cstring>

#include "crypto/rsa.h"
#include "error.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

constexpr Mechanism kMechanisms[] = {
    {CKM_RSA_PKCS_OAEP, CKK_RSA, "RSA_PKCS_OAEP", std::nullopt, CKF_ENCRYPT | CKF_DECRYPT, 2048, 4096},
};
// A label that is longer is a mistake, and would fill a frame.
constexpr CK_ULONG kLongestLabel = 1024;

[[noreturn]] void BadParameter(const char* what) { throw Pkcs11Error(CKR_MECHANISM_PARAM_INVALID, what); }

class RsaOaep final : public Family {
 public:
  std::span<const Mechanism> mechanisms() const override { return kMechanisms; }

  Plan MakePlan(const PlanRequest& request) const override {
    CK_RSA_PKCS_OAEP_PARAMS parameter;
    if (request.requested.pParameter == nullptr || request.requested.ulParameterLen != sizeof parameter) {
      BadParameter("OAEP without CK_RSA_PKCS_OAEP_PARAMS");
    }
    std::memcpy(&parameter, request.requested.pParameter, sizeof parameter);
    const HashAlgorithm hash = HashOfMechanism(parameter.hashAlg);
    const HashAlgorithm mgf_hash = HashOfMgf(parameter.mgf);
    // Without a source there is no label, and some leave the source out for the empty one.
    if (parameter.source != CKZ_DATA_SPECIFIED && (parameter.source != 0 || parameter.ulSourceDataLen != 0)) {
      BadParameter("OAEP with an unknown source");
    }
    if (parameter.ulSourceDataLen > kLongestLabel) BadParameter("OAEP with a label longer than 1024 bytes");
    if (parameter.pSourceData == nullptr && parameter.ulSourceDataLen != 0) BadParameter("OAEP without its label");
    const auto* label = static_cast<const std::uint8_t*>(parameter.pSourceData);
    const std::size_t overhead = 2 * HashBytes(hash) + 2;
    return {&request.mechanism, 0, request.key.modulus.size() - overhead,
            OaepParameter{HashName(hash), HashName(mgf_hash), Bytes(label, label + parameter.ulSourceDataLen)}};
  }

  Bytes Encrypt(Libcrypto& libcrypto, const Plan& plan, const PublicKey& key, ByteView input) const override {
    return RsaPublicKey(libcrypto, key).EncryptOaep(std::get<OaepParameter>(plan.parameter), input);
  }
};

constinit const RsaOaep family;

}  // namespace

const Family& RsaOaepFamily() { return family; }

}  // namespace tlskeep
