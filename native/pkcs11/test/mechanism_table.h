// Every signature mechanism of the module with its parameter, its input and an independent check.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cryptoki.h"
#include "test_keys.h"

namespace tlskeep::test {

struct SignatureMechanism {
  std::string name;
  CK_MECHANISM_TYPE type;
  bool hashes;  // takes the message, in parts if need be
  std::optional<CK_RSA_PKCS_PSS_PARAMS> pss;
  // What C_SignInit, and C_Sign after it, answer under `tls-server`.
  CK_RV general_only;
  CK_RV general_only_sign;
  std::function<Bytes(const Bytes& message)> data;
  std::function<bool(const Key& key, const Bytes& message, const Bytes& signature)> Check;

  CK_MECHANISM Get() { return {type, pss ? &*pss : nullptr, pss ? sizeof *pss : 0}; }
  Bytes DataFor(const Bytes& message) const { return data(message); }
};

// Those for a kind of key, each with every hash.
std::vector<SignatureMechanism> SignatureMechanismsOf(const Key& key);

}  // namespace tlskeep::test
