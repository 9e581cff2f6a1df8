// What is measured: something that signs with a private key, one instance for each thread and key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

namespace tlskeep::bench {

enum class KeyKind { kRsa, kEc };
// kDefault is PKCS #1 v1.5 for RSA and ECDSA for EC keys.
enum class Padding { kDefault, kPss };

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

// Carries what went wrong, without PINs.
class BenchError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Signer {
 public:
  Signer() = default;
  virtual ~Signer() = default;
  Signer(const Signer&) = delete;
  Signer& operator=(const Signer&) = delete;

  // Signs a hash value. ECDSA signatures are r and s, one behind the other, as PKCS #11 has them.
  // @throws BenchError
  virtual void Sign(ByteView digest, Bytes& signature) = 0;
};

}  // namespace tlskeep::bench
