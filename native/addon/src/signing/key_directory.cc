// Publishes and withdraws keys, and holds requests against the policy's rules.
#include "signing/key_directory.h"

#include <algorithm>
#include <mutex>

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
  Token& published = tokens_[token];
  if (published.counters == nullptr) published.counters = std::make_shared<TokenCounters>();
  Remove(token, published);
  published.fingerprints.clear();
  for (const Entry& entry : keys) {
    // The fingerprint first: what is listed can be withdrawn, should there be no memory for the rest.
    published.fingerprints.push_back(entry.fingerprint);
    keys_.emplace(entry.fingerprint,
                  Holder{token, std::make_shared<const PublishedKey>(PublishedKey{
                                    gate, expires_at_ms, entry.rules, entry.key, published.counters})});
  }
}

void KeyDirectory::Withdraw(std::uint32_t token) {
  const std::unique_lock lock(mutex_);
  const auto found = tokens_.find(token);
  if (found == tokens_.end()) return;
  Remove(token, found->second);
  tokens_.erase(found);
}

SignatureCounts KeyDirectory::TakeCounts(std::uint32_t token) {
  const std::shared_lock lock(mutex_);
  const auto found = tokens_.find(token);
  return found == tokens_.end() ? SignatureCounts{} : found->second.counters->Take();
}

void KeyDirectory::Remove(std::uint32_t token, const Token& published) {
  for (const Fingerprint& fingerprint : published.fingerprints) {
    auto [at, end] = keys_.equal_range(fingerprint);
    while (at != end) at = at->second.token == token ? keys_.erase(at) : std::next(at);
  }
}

}  // namespace tlskeep
