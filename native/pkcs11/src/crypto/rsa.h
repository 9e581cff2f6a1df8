// What an RSA public key does by itself, with libcrypto.
#pragma once

#include "client/messages.h"
#include "crypto/public_key.h"

struct evp_pkey_ctx_st;

namespace tlskeep {

// A LibcryptoCall while it lives: make one for one operation.
class RsaPublicKey {
 public:
  // @throws std::runtime_error if libcrypto does not take the key, as all others do for what should not fail.
  RsaPublicKey(Libcrypto& libcrypto, const PublicKey& key);
  ~RsaPublicKey();
  RsaPublicKey(const RsaPublicKey&) = delete;
  RsaPublicKey& operator=(const RsaPublicKey&) = delete;

  // A signature is as long as the modulus. `padded` and `data` of the raw operations are, too.
  bool VerifyPkcs(ByteView digest_info, ByteView signature);
  bool VerifyPss(const PssParameter& parameter, ByteView digest, ByteView signature);
  bool VerifyRaw(ByteView padded, ByteView signature);

  Bytes EncryptPkcs(ByteView data);
  Bytes EncryptOaep(const OaepParameter& parameter, ByteView data);
  Bytes EncryptRaw(ByteView data);

 private:
  void Require(bool fact) const;
  Bytes Encrypt(ByteView data);

  const LibcryptoCall call_;
  evp_pkey_ctx_st* context_ = nullptr;
  std::size_t modulus_bytes_;
};

}  // namespace tlskeep
