// A PKCS #11 module, loaded as a consumer does, and the private keys of its tokens.
#pragma once

#include <p11-kit/pkcs11.h>

#include <optional>
#include <string>

#include "signer.h"

namespace tlskeep::bench {

// A private key of a token that the PIN has been proven to.
struct TokenKey {
  CK_SLOT_ID slot;
  CK_OBJECT_HANDLE handle;
};

class TokenModule {
 public:
  // dlopen and C_Initialize, with locking by the operating system. @throws BenchError
  explicit TokenModule(const std::string& path);
  ~TokenModule();
  TokenModule(const TokenModule&) = delete;
  TokenModule& operator=(const TokenModule&) = delete;

  // Logs in to every token of this label and finds one private key in each, in the order of the slots.
  // @param token a label, or with `*` at its end the beginning of labels
  // @param label CKA_LABEL of the key; without it, any private key will do
  // @throws BenchError if there is no such token, or one has no such key
  std::vector<TokenKey> FindKeys(const std::string& token, const std::optional<std::string>& label,
                                 const std::string& pin);

  // Signs in a session of its own.
  std::unique_ptr<Signer> MakeSigner(const TokenKey& key, KeyKind kind, Padding padding) const;

  double load_us() const { return load_us_; }
  double initialize_us() const { return initialize_us_; }

 private:
  std::vector<CK_SLOT_ID> SlotsOf(const std::string& token) const;

  void* library_;
  CK_FUNCTION_LIST* functions_ = nullptr;
  // Sessions that keep the logins alive.
  std::vector<CK_SESSION_HANDLE> sessions_;
  double load_us_ = 0;
  double initialize_us_ = 0;
};

}  // namespace tlskeep::bench
