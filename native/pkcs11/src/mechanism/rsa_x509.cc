// CKM_RSA_X_509: RSA as it is (PKCS #11 v2.40 mechanisms §2.1.7). Data is padded with leading zeros.
#include <algorithm>

#include "crypto/rsa.h"
#include "error.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

constexpr Mechanism kMechanisms[] = {
    {CKM_RSA_X_509, CKK_RSA, "RSA_X_509", std::nullopt, CKF_SIGN | CKF_VERIFY | CKF_ENCRYPT | CKF_DECRYPT, 2048, 4096},
};

// As a number of the modulus's length, which has to be below the modulus.
Bytes Padded(const PublicKey& key, ByteView input) {
  Bytes padded(key.modulus.size() - input.size(), 0);
  padded.insert(padded.end(), input.begin(), input.end());
  if (!std::lexicographical_compare(padded.begin(), padded.end(), key.modulus.begin(), key.modulus.end())) {
    throw Pkcs11Error(CKR_DATA_INVALID, "data not below the modulus");
  }
  return padded;
}

class RsaX509 final : public Family {
 public:
  std::span<const Mechanism> mechanisms() const override { return kMechanisms; }
  Plan MakePlan(const PlanRequest& request) const override {
    RequireNoParameter(request.requested);
    return {&request.mechanism, 0, request.key.modulus.size(), {}};
  }
  Bytes SignData(const Plan&, const PublicKey& key, ByteView input) const override { return Padded(key, input); }
  bool Verify(Libcrypto& libcrypto, const Plan&, const PublicKey& key, ByteView input,
              ByteView signature) const override {
    return RsaPublicKey(libcrypto, key).VerifyRaw(Padded(key, input), signature);
  }
  Bytes Encrypt(Libcrypto& libcrypto, const Plan&, const PublicKey& key, ByteView input) const override {
    return RsaPublicKey(libcrypto, key).EncryptRaw(Padded(key, input));
  }
};

constinit const RsaX509 family;

}  // namespace

const Family& RsaX509Family() { return family; }

}  // namespace tlskeep
