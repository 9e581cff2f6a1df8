// What the active operations of a session have in common: parts and their hash, and an output that is made
// once and handed out when there is room for it.
#pragma once

#include <memory>
#include <optional>

#include "crypto/hash.h"
#include "cryptoki.h"

namespace tlskeep {

class Module;

enum class OperationKind { kDigest, kSign, kVerify, kEncrypt, kDecrypt };
inline constexpr std::size_t kOperationKinds = 5;
constexpr std::size_t Index(OperationKind kind) { return static_cast<std::size_t>(kind); }

class Operation {
 public:
  // `output_bytes`: the length of the output, or, with `output_varies`, the longest it can have.
  Operation(std::optional<Hash> hash, std::size_t output_bytes, bool output_varies = false)
      : hash_(std::move(hash)), output_bytes_(output_bytes), output_varies_(output_varies) {}
  virtual ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  std::size_t output_bytes() const { return output_ ? output_->size() : output_bytes_; }
  bool output_varies() const { return output_varies_; }
  // Whether C_...Update has been called.
  bool multi_part() const { return multi_part_; }
  // Whether the mechanism hashes, as it has to for C_...Update.
  bool takes_parts() const { return hash_.has_value(); }

  void Update(ByteView data);
  // The input of the mechanism: the digest of all parts, or of `data`, or `data` itself. A digest is put into
  // `digest`, which must outlive the use of it.
  ByteView SinglePart(ByteView data, Bytes& digest);
  ByteView MultiPart(Bytes& digest) { return digest = hash_->Finish(); }

  // The output for an input; one that was made before stays. Valid as long as the operation.
  // @throws Pkcs11Error
  ByteView Output(Module& module, ByteView input);
  bool has_output() const { return output_.has_value(); }

 protected:
  // Does the mechanism's work. @throws Pkcs11Error
  virtual Bytes Complete(Module& module, ByteView input) = 0;

 private:
  std::optional<Hash> hash_;
  std::size_t output_bytes_;
  bool output_varies_;
  bool multi_part_ = false;
  std::optional<Bytes> output_;
};

}  // namespace tlskeep
