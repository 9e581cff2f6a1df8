// The keys that sign, by fingerprint: what the enclave's token store has published for the signing
// threads. The store decides; this only answers, under a lock that readers share.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <shared_mutex>
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
    Fingerprint fingerprint;
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
  std::shared_ptr<const PublishedKey> Find(const Fingerprint& fingerprint, std::int64_t now_ms,
                                           IsOpen&& is_open) const {
    const std::shared_lock lock(mutex_);
    for (auto [at, end] = keys_.equal_range(fingerprint); at != end; ++at) {
      const PublishedKey& key = *at->second.key;
      if (key.expires_at_ms > now_ms && is_open(key.gate)) return at->second.key;
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
    std::vector<Fingerprint> fingerprints;  // of its keys; a publication may name one twice
  };
  // A fingerprint is a hash already.
  struct FirstBytes {
    std::size_t operator()(const Fingerprint& fingerprint) const {
      std::size_t first = 0;
      std::memcpy(&first, fingerprint.data(), sizeof first);
      return first;
    }
  };
  void Remove(std::uint32_t token, const Token& published);

  mutable std::shared_mutex mutex_;
  // The names stand in the nodes themselves: with a thousand keys each step to another node is a cache miss.
  std::unordered_multimap<Fingerprint, Holder, FirstBytes> keys_;
  std::unordered_map<std::uint32_t, Token> tokens_;
};

}  // namespace tlskeep
