// CKM_RSA_PKCS_PSS and CKM_SHA*_RSA_PKCS_PSS: RSASSA-PSS (RFC 8017 §8.1) with one hash for the message
// and for MGF1.
#include <cstring>

#include "error.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

constexpr Mechanism kMechanisms[] = {
    {CKM_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", std::nullopt, 2048, 4096},
    {CKM_SHA256_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha256, 2048, 4096},
    {CKM_SHA384_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha384, 2048, 4096},
    {CKM_SHA512_RSA_PKCS_PSS, CKK_RSA, "RSA_PKCS_PSS", HashAlgorithm::kSha512, 2048, 4096},
};

struct PssHash {
  CK_MECHANISM_TYPE mechanism;
  CK_RSA_PKCS_MGF_TYPE mgf;
  HashAlgorithm algorithm;
  const char* wire_name;
};

constexpr PssHash kHashes[] = {
    {CKM_SHA256, CKG_MGF1_SHA256, HashAlgorithm::kSha256, "SHA-256"},
    {CKM_SHA384, CKG_MGF1_SHA384, HashAlgorithm::kSha384, "SHA-384"},
    {CKM_SHA512, CKG_MGF1_SHA512, HashAlgorithm::kSha512, "SHA-512"},
};

[[noreturn]] void BadParameter(const char* what) { throw Pkcs11Error(CKR_MECHANISM_PARAM_INVALID, what); }

const PssHash& FindHash(const CK_RSA_PKCS_PSS_PARAMS& parameter) {
  for (const PssHash& hash : kHashes) {
    if (hash.mechanism != parameter.hashAlg) continue;
    if (hash.mgf != parameter.mgf) BadParameter("PSS with another hash in MGF1");
    return hash;
  }
  BadParameter("PSS with a hash other than SHA-256, SHA-384 and SHA-512");
}

}  // namespace

std::span<const Mechanism> RsaPssMechanisms() { return kMechanisms; }

SignPlan PlanRsaPss(const Mechanism& mechanism, const CK_MECHANISM& request, const PublicKey& key) {
  CK_RSA_PKCS_PSS_PARAMS parameter;
  if (request.pParameter == nullptr || request.ulParameterLen != sizeof parameter) {
    BadParameter("PSS without CK_RSA_PKCS_PSS_PARAMS");
  }
  std::memcpy(&parameter, request.pParameter, sizeof parameter);
  const PssHash& hash = FindHash(parameter);
  if (mechanism.hash && *mechanism.hash != hash.algorithm) BadParameter("PSS with another hash than the mechanism's");
  const std::size_t digest_bytes = HashBytes(hash.algorithm);
  if (parameter.sLen > key.signature_bytes - digest_bytes - 2) BadParameter("PSS salt longer than the key allows");
  return {&mechanism, key.signature_bytes, PssParameter{hash.wire_name, parameter.sLen}, digest_bytes};
}

Bytes RsaPssData(const SignPlan& plan, ByteView input) {
  if (input.size() != plan.data_bytes) throw Pkcs11Error(CKR_DATA_LEN_RANGE, "not a digest of the hash named");
  return ToBytes(input);
}

}  // namespace tlskeep
