// The keys that sign, by fingerprint: what the enclave's token store has published for the signing
// threads. The store decides; this only answers, under a lock that readers share.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "cache_line.h"
#include "private_key.h"
#include "sign.h"
#include "signing/sign_message.h"
#include "wire/bytes.h"

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
  std::uint32_t gate;  // who has proved this PIN may use it
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

  // Makes `keys` those of a token, all at once, in place of what was published for it before. Without memory
  // nothing changes.
  void Publish(std::uint32_t token, std::uint32_t gate, std::int64_t expires_at_ms,
               const std::vector<Entry>& keys);
  // No request that is read after this is signed with the token's keys; one that has been may still be.
  void Withdraw(std::uint32_t token) noexcept;
  // The signatures counted for a token since the last call; zeros for one that is not published.
  SignatureCounts TakeCounts(std::uint32_t token);

  // The key by its fingerprint, as held by a token that has not expired and whose gate `is_open`, if there is one.
  template <typename IsOpen>
  std::optional<PublishedKey> Find(const Fingerprint& fingerprint, std::int64_t now_ms, IsOpen&& is_open) const {
    const std::shared_lock lock(mutex_);
    for (std::size_t at = HomeOf(fingerprint); rows_[at].published.key != nullptr; at = Next(at)) {
      const Row& row = rows_[at];
      if (row.fingerprint == fingerprint && row.expires_at_ms > now_ms && is_open(row.published.gate)) {
        return row.published;
      }
    }
    return std::nullopt;
  }

 private:
  // Free without a key.
  struct Row {
    Fingerprint fingerprint{};
    std::int64_t expires_at_ms = 0;  // since the epoch
    std::uint32_t token = 0;
    PublishedKey published{};
  };
  // In the table alone: compilers fall short of aligning what lies on a stack so widely.
  struct alignas(kCacheLineBytes) AlignedRow : Row {};

  // A fingerprint is a hash already.
  std::size_t HomeOf(const Fingerprint& fingerprint) const {
    std::size_t first = 0;
    std::memcpy(&first, fingerprint.data(), sizeof first);
    return first & (rows_.size() - 1);
  }
  std::size_t Next(std::size_t at) const { return (at + 1) & (rows_.size() - 1); }
  Row& RowAt(std::size_t at) { return rows_[at]; }
  // There is a free row.
  void Insert(Row&& row) noexcept;
  void Erase(std::size_t at) noexcept;
  void EraseAllOf(std::uint32_t token) noexcept;
  // Makes room for `more` keys.
  void Reserve(std::size_t more);

  mutable std::shared_mutex mutex_;
  // Open addressing with linear probing: from the row that a fingerprint names on, up to a free one. One row
  // has all that is read to find and admit a key: with a thousand keys, each further place in memory is a cache
  // miss. A power of two, half of it free at least.
  std::vector<AlignedRow> rows_ = std::vector<AlignedRow>(16);
  std::size_t used_ = 0;
  std::unordered_map<std::uint32_t, std::shared_ptr<TokenCounters>> counters_;
};

}  // namespace tlskeep
