// Publishes and withdraws keys, and holds requests against the policy's rules.
#include "signing/key_directory.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace tlskeep {
namespace {

constexpr bool Has(std::uint32_t set, std::uint32_t member) { return (set >> member & 1) != 0; }

struct DigestInfoPrefix {
  Hash hash;
  std::array<std::uint8_t, 19> bytes;
  std::size_t size;
};

// DER DigestInfo up to the hash value (RFC 8017, 9.2 note 1; SHA-224 by its erratum).
constexpr DigestInfoPrefix kDigestInfoPrefixes[] = {
    {Hash::kSha256, {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, 19},
    {Hash::kSha384, {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}, 19},
    {Hash::kSha512, {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}, 19},
    {Hash::kSha224, {0x30, 0x2d, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05, 0x00, 0x04, 0x1c}, 19},
    {Hash::kSha1, {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}, 15},
};

bool IsDigestInfo(ByteView data, std::uint32_t hashes) {
  return std::any_of(std::begin(kDigestInfoPrefixes), std::end(kDigestInfoPrefixes),
                     [&](const DigestInfoPrefix& prefix) {
                       return Has(hashes, static_cast<std::uint32_t>(prefix.hash)) &&
                              data.size() == prefix.size + HashBytes(prefix.hash) &&
                              std::equal(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(prefix.size),
                                         prefix.bytes.begin());
                     });
}

}  // namespace

bool Admits(const SigningRules& rules, const SignRequest& request) {
  if (!Has(rules.mechanisms, static_cast<std::uint32_t>(request.mechanism))) return false;
  switch (request.mechanism) {
    case Mechanism::kRsaPkcs:
      return IsDigestInfo(request.data, rules.hashes);
    case Mechanism::kRsaPkcsPss:
      return Has(rules.hashes, static_cast<std::uint32_t>(request.hash));
    case Mechanism::kEcdsa:
      return request.data.size() >= rules.min_ecdsa_bytes && request.data.size() <= rules.max_ecdsa_bytes;
    case Mechanism::kEddsa:
    case Mechanism::kRsaX509:
      return true;
  }
  return false;
}

SignatureCounts TokenCounters::Take() {
  SignatureCounts taken{};
  for (std::size_t i = 0; i < taken.size(); ++i) taken[i] = counts_[i].exchange(0, std::memory_order_relaxed);
  return taken;
}

void KeyDirectory::Publish(std::uint32_t token, std::uint32_t gate, std::int64_t expires_at_ms,
                           const std::vector<Entry>& keys) {
  const std::unique_lock lock(mutex_);
  Reserve(keys.size());
  std::shared_ptr<TokenCounters>& counters = counters_[token];
  if (counters == nullptr) counters = std::allocate_shared<TokenCounters>(CacheLineAllocator<TokenCounters>());
  EraseAllOf(token);
  for (const Entry& entry : keys) {
    Insert({entry.fingerprint, expires_at_ms, token, {gate, entry.rules, entry.key, counters}});
  }
}

void KeyDirectory::Withdraw(std::uint32_t token) noexcept {
  const std::unique_lock lock(mutex_);
  if (counters_.erase(token) > 0) EraseAllOf(token);
}

SignatureCounts KeyDirectory::TakeCounts(std::uint32_t token) {
  const std::shared_lock lock(mutex_);
  const auto found = counters_.find(token);
  return found == counters_.end() ? SignatureCounts{} : found->second->Take();
}

void KeyDirectory::Insert(Row&& row) noexcept {
  std::size_t at = HomeOf(row.fingerprint);
  while (rows_[at].published.key != nullptr) at = Next(at);
  RowAt(at) = std::move(row);
  ++used_;
}

void KeyDirectory::Erase(std::size_t at) noexcept {
  RowAt(at) = {};
  --used_;
  // What may have been put behind it for want of a nearer place takes one now, or the same again.
  for (at = Next(at); rows_[at].published.key != nullptr; at = Next(at)) {
    Row moved = std::exchange(RowAt(at), {});
    --used_;
    Insert(std::move(moved));
  }
}

void KeyDirectory::EraseAllOf(std::uint32_t token) noexcept {
  for (std::size_t at = 0; at < rows_.size();) {
    // Another row may take this place: it is looked at again.
    if (rows_[at].published.key != nullptr && rows_[at].token == token) {
      Erase(at);
    } else {
      ++at;
    }
  }
}

void KeyDirectory::Reserve(std::size_t more) {
  std::size_t size = rows_.size();
  while (size < 2 * (used_ + more)) size *= 2;
  if (size == rows_.size()) return;
  std::vector<AlignedRow> former = std::exchange(rows_, std::vector<AlignedRow>(size));
  used_ = 0;
  for (AlignedRow& row : former) {
    if (row.published.key != nullptr) Insert(std::move(row));
  }
}

}  // namespace tlskeep
