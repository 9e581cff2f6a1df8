// The keys that sign, by fingerprint: what the enclave's token store has published for the signing
// threads. The store decides; this only answers, under a lock that readers share.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bytes.h"
#include "private_key.h"
#include "sign.h"
#include "signing/sign_message.h"

namespace tlskeep {

inline constexpr std::size_t kMechanismCount = static_cast<std::size_t>(kLastMechanism) + 1;

// What the usage policy admits of a key's signatures.
struct SigningRules {
  std::uint32_t mechanisms = 0;  // a bit for each Mechanism
  std::uint32_t hashes = 0;      // a bit for each Hash, of RSA_PKCS and RSA_PKCS_PSS
  // Lengths of hash values that ECDSA takes.
  std::uint32_t min_ecdsa_bytes = 0;
  std::uint32_t max_ecdsa_bytes = 0;
};

// Whether the rules admit a request. The key's own limits (CheckSignRequest) come on top.
bool Admits(const SigningRules& rules, const SignRequest& request);

// Counts by mechanism.
using SignatureCounts = std::array<std::uint64_t, kMechanismCount>;

class TokenCounters {
 public:
  void Add(Mechanism mechanism) {
    counts_[static_cast<std::size_t>(mechanism)].fetch_add(1, std::memory_order_relaxed);
  }
  // What has been counted since the last call.
  SignatureCounts Take();

 private:
  std::array<std::atomic<std::uint64_t>, kMechanismCount> counts_{};
};

// A key as one token holds it.
struct PublishedKey {
  std::uint32_t gate;           // who has proved this PIN may use it
  std::int64_t expires_at_ms;   // since the epoch
  SigningRules rules;
  std::shared_ptr<const PrivateKey> key;
  std::shared_ptr<TokenCounters> counters;
};

class KeyDirectory {
 public:
  struct Entry {
    Bytes fingerprint;  // kFingerprintBytes
    SigningRules rules;
    std::shared_ptr<const PrivateKey> key;
  };

  // Makes `keys` those of a token, all at once, in place of what was published for it before.
  void Publish(std::uint32_t token, std::uint32_t gate, std::int64_t expires_at_ms,
               const std::vector<Entry>& keys);
  // No request that is read after this is signed with the token's keys; one that has been may still be.
  void Withdraw(std::uint32_t token);
  // The signatures counted for a token since the last call; zeros for one that is not published.
  SignatureCounts TakeCounts(std::uint32_t token);

  // The key by its fingerprint, as held by a token that has not expired and whose gate `is_open`; null
  // if there is none.
  template <typename IsOpen>
  std::shared_ptr<const PublishedKey> Find(ByteView fingerprint, std::int64_t now_ms,
                                           IsOpen&& is_open) const {
    const std::shared_lock lock(mutex_);
    const auto found = keys_.find(Name(fingerprint));
    if (found == keys_.end()) return nullptr;
    for (const Holder& holder : found->second) {
      if (holder.key->expires_at_ms > now_ms && is_open(holder.key->gate)) return holder.key;
    }
    return nullptr;
  }

 private:
  struct Holder {
    std::uint32_t token;
    std::shared_ptr<const PublishedKey> key;
  };
  struct Token {
    std::shared_ptr<TokenCounters> counters;
    std::vector<std::string> names;  // of its keys: its own, for a publication may name one twice
  };
  static std::string_view Name(ByteView fingerprint) { return AsText(fingerprint); }
  void Remove(std::uint32_t token, const Token& published);

  struct NameHash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::vector<Holder>, NameHash, std::equal_to<>> keys_;
  std::unordered_map<std::uint32_t, Token> tokens_;
};

}  // namespace tlskeep
