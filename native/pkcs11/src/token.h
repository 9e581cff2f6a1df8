// A token as last listed by the enclave: one key pair, its certificates, what the key can do.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/messages.h"
#include "mechanism/mechanism.h"
#include "object.h"

namespace tlskeep {

inline constexpr CK_ULONG kShortestPin = 4;
inline constexpr CK_ULONG kLongestPin = 64;

struct Token {
  ListedToken listed;
  std::string serial_number;  // 16 hexadecimal digits
  std::vector<Offer> offers;  // of C_GetMechanismList, those without a key last
  std::vector<std::shared_ptr<const Object>> objects;
};

// Parses what was listed. @throws std::runtime_error for certificates or keys that cannot be used.
Token MakeToken(Libcrypto& libcrypto, ListedToken listed);

}  // namespace tlskeep
