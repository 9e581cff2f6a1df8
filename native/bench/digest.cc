// Spreads a counter over a hash value's bytes.
#include "digest.h"

#include <algorithm>
#include <array>

namespace tlskeep::bench {

void FillDigest(std::uint64_t counter, Bytes& digest) {
  // splitmix64: neighbours differ in about half of their bits, as hash values do.
  std::uint64_t state = counter;
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    if (i % 8 == 0) {
      state += 0x9e3779b97f4a7c15U;
      word = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9U;
      word = (word ^ (word >> 27)) * 0x94d049bb133111ebU;
      word ^= word >> 31;
    }
    digest[i] = static_cast<std::uint8_t>(word >> (8 * (i % 8)));
  }
}

Bytes Sha256DigestInfo(ByteView digest) {
  constexpr std::array<std::uint8_t, 19> kPrefix = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                                    0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
  Bytes info(kPrefix.size() + digest.size());
  std::ranges::copy(digest, std::ranges::copy(kPrefix, info.begin()).out);
  return info;
}

}  // namespace tlskeep::bench
