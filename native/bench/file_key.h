// A private key in a file, which libcrypto signs with in this process: what a module is compared with.
#pragma once

#include <string>

#include "evp.h"

namespace tlskeep::bench {

class FileKey {
 public:
  // @param path PEM, not encrypted. @throws BenchError
  static FileKey FromFile(const std::string& path);

  // For one thread; any number of them at the same time.
  std::unique_ptr<Signer> MakeSigner(Padding padding) const;

 private:
  explicit FileKey(EvpKey key) : key_(std::move(key)) {}
  EvpKey key_;
};

}  // namespace tlskeep::bench
