// Signs by EVP_PKEY_sign, with one context for all signatures of a thread.
#include "file_key.h"

#include <openssl/pem.h>

#include <cstdio>

#include "public_key.h"

namespace tlskeep::bench {
namespace {

class FileSigner final : public Signer {
 public:
  FileSigner(EVP_PKEY* key, KeyKind kind, Padding padding) : context_(EVP_PKEY_CTX_new(key, nullptr)) {
    if (context_ == nullptr || EVP_PKEY_sign_init(context_.get()) != 1) throw BenchError("EVP_PKEY_sign_init");
    if (kind == KeyKind::kRsa) SetRsaPadding(context_.get(), padding);
    der_bytes_ = static_cast<std::size_t>(EVP_PKEY_get_size(key));
    raw_ = kind == KeyKind::kEc;
  }

  void Sign(ByteView digest, Bytes& signature) override {
    der_.resize(der_bytes_);
    std::size_t size = der_.size();
    if (EVP_PKEY_sign(context_.get(), der_.data(), &size, digest.data(), digest.size()) != 1) {
      throw BenchError("EVP_PKEY_sign");
    }
    der_.resize(size);
    if (raw_) {
      ToRaw(signature);
    } else {
      signature = der_;
    }
  }

 private:
  // Takes the two INTEGERs out of DER: some nanoseconds, so that both sides are verified alike.
  void ToRaw(Bytes& signature) const {
    const std::size_t half = signature.size() / 2;
    std::size_t at = der_.at(1) < 0x80 ? 2 : 3;
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t length = der_.at(at + 1);
      const std::size_t skipped = length > half ? length - half : 0;
      const std::size_t padded = length < half ? half - length : 0;
      for (std::size_t k = 0; k < half; ++k) {
        signature[i * half + k] = k < padded ? std::uint8_t{0} : der_.at(at + 2 + skipped + k - padded);
      }
      at += 2 + length;
    }
  }

  EvpContext context_;
  std::size_t der_bytes_ = 0;
  bool raw_ = false;
  Bytes der_;
};

}  // namespace

FileKey FileKey::FromFile(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) throw BenchError("cannot read " + path);
  EvpKey key(PEM_read_PrivateKey(file, nullptr, nullptr, nullptr));
  std::fclose(file);
  if (key == nullptr) throw BenchError(path + " is no private key in PEM");
  return FileKey(std::move(key));
}

std::unique_ptr<Signer> FileKey::MakeSigner(Padding padding) const {
  return std::make_unique<FileSigner>(key_.get(), KindOf(key_), padding);
}

}  // namespace tlskeep::bench
