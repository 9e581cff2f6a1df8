// Puts the table together from families and hashes.
#include "mechanism_table.h"

namespace tlskeep::test {
namespace {

struct HashRow {
  const char* name;
  CK_MECHANISM_TYPE hash, rsa_pkcs, rsa_pss, ecdsa;
  CK_RSA_PKCS_MGF_TYPE mgf;
  Bytes prefix;  // of the DigestInfo
  bool general;  // admitted by that policy alone
};

Bytes Sha2Prefix(std::uint8_t arc, std::uint8_t bytes) {
  return {0x30, static_cast<std::uint8_t>(17 + bytes), 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
          0x65, 0x03, 0x04, 0x02, arc, 0x05, 0x00, 0x04, bytes};
}

const std::vector<HashRow>& Hashes() {
  static const std::vector<HashRow> rows = {
      {"SHA1", CKM_SHA_1, CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS, CKM_ECDSA_SHA1, CKG_MGF1_SHA1,
       {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}, true},
      {"SHA224", CKM_SHA224, CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS, CKM_ECDSA_SHA224, CKG_MGF1_SHA224,
       Sha2Prefix(4, 28), true},
      {"SHA256", CKM_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS, CKM_ECDSA_SHA256, CKG_MGF1_SHA256,
       Sha2Prefix(1, 32), false},
      {"SHA384", CKM_SHA384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS, CKM_ECDSA_SHA384, CKG_MGF1_SHA384,
       Sha2Prefix(2, 48), false},
      {"SHA512", CKM_SHA512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS, CKM_ECDSA_SHA512, CKG_MGF1_SHA512,
       Sha2Prefix(3, 64), false},
  };
  return rows;
}

Bytes Same(const Bytes& message) { return message; }

void AddRsa(std::vector<SignatureMechanism>& table, const HashRow& h) {
  const std::string name = h.name;
  const auto digest = [name](const Bytes& message) { return Sha(name.c_str(), message); };
  const auto digest_info = [digest, prefix = h.prefix](const Bytes& message) {
    Bytes info = prefix;
    const Bytes value = digest(message);
    info.insert(info.end(), value.begin(), value.end());
    return info;
  };
  const auto pkcs = [name](const Key& key, const Bytes& message, const Bytes& signature) {
    return VerifyRsaPkcs(key, name.c_str(), message, signature);
  };
  const CK_RV refused = h.general ? CKR_MECHANISM_INVALID : CKR_OK;
  // Which DigestInfo it is, only the enclave looks at.
  table.push_back({"RSA_PKCS over " + name, CKM_RSA_PKCS, false, std::nullopt, CKR_OK,
                   h.general ? CKR_DATA_INVALID : CKR_OK, digest_info, pkcs});
  table.push_back({name + "_RSA_PKCS", h.rsa_pkcs, true, std::nullopt, refused, CKR_OK, Same, pkcs});
  for (const std::size_t salt : {std::size_t{0}, Sha(h.name, {}).size()}) {
    const CK_RSA_PKCS_PSS_PARAMS pss{h.hash, h.mgf, salt};
    const auto check = [name, salt](const Key& key, const Bytes& message, const Bytes& signature) {
      return VerifyRsaPss(key, name.c_str(), static_cast<int>(salt), message, signature);
    };
    const std::string suffix = ", salt of " + std::to_string(salt);
    table.push_back({"RSA_PKCS_PSS with " + name + suffix, CKM_RSA_PKCS_PSS, false, pss,
                     h.general ? CKR_MECHANISM_PARAM_INVALID : CKR_OK, CKR_OK, digest, check});
    table.push_back({name + "_RSA_PKCS_PSS" + suffix, h.rsa_pss, true, pss, refused, CKR_OK, Same, check});
  }
}

void AddEcdsa(std::vector<SignatureMechanism>& table, const HashRow& h) {
  const std::string name = h.name;
  const auto digest = [name](const Bytes& message) { return Sha(name.c_str(), message); };
  const auto check = [digest](const Key& key, const Bytes& message, const Bytes& signature) {
    return VerifyEcdsa(key, digest(message), signature);
  };
  table.push_back({"ECDSA over " + name, CKM_ECDSA, false, std::nullopt, CKR_OK,
                   h.general ? CKR_DATA_LEN_RANGE : CKR_OK, digest, check});
  table.push_back({"ECDSA_" + name, h.ecdsa, true, std::nullopt, h.general ? CKR_MECHANISM_INVALID : CKR_OK, CKR_OK,
                   Same, check});
}

}  // namespace

std::vector<SignatureMechanism> SignatureMechanismsOf(const Key& key) {
  std::vector<SignatureMechanism> table;
  if (EVP_PKEY_is_a(key.get(), "ED25519") == 1) {
    table.push_back({"EDDSA", CKM_EDDSA, false, std::nullopt, CKR_OK, CKR_OK, Same, VerifyEddsa});
    return table;
  }
  const bool rsa = EVP_PKEY_is_a(key.get(), "RSA") == 1;
  for (const HashRow& hash : Hashes()) {
    if (rsa) {
      AddRsa(table, hash);
    } else {
      AddEcdsa(table, hash);
    }
  }
  if (rsa) {
    // The whole encoded message, padded by the caller as RSASSA-PKCS1-v1_5 does.
    const auto padded = [size = static_cast<std::size_t>(EVP_PKEY_get_size(key.get()))](const Bytes& message) {
      Bytes info = Sha2Prefix(1, 32);
      const Bytes digest = Sha("SHA256", message);
      info.insert(info.end(), digest.begin(), digest.end());
      Bytes data = {0x00, 0x01};
      data.insert(data.end(), size - 3 - info.size(), 0xff);
      data.push_back(0x00);
      data.insert(data.end(), info.begin(), info.end());
      return data;
    };
    table.push_back({"RSA_X_509", CKM_RSA_X_509, false, std::nullopt, CKR_MECHANISM_INVALID, CKR_OK, padded,
                     [](const Key& verifier, const Bytes& message, const Bytes& signature) {
                       return VerifyRsaPkcs(verifier, "SHA256", message, signature);
                     }});
  }
  return table;
}

}  // namespace tlskeep::test
