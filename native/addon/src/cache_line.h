// Memory that begins at a cache line: what signing reads of a key and its token then takes as few of them as it
// can. With a thousand keys each of these is a cache miss.
#pragma once

#include <cstddef>
#include <new>

namespace tlskeep {

inline constexpr std::size_t kCacheLineBytes = 64;

// For std::allocate_shared, which puts the count of owners in front.
template <typename T>
struct CacheLineAllocator {
  using value_type = T;

  CacheLineAllocator() = default;
  template <typename Other>
  explicit CacheLineAllocator(const CacheLineAllocator<Other>&) {}

  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{kCacheLineBytes}));
  }
  void deallocate(T* memory, std::size_t) noexcept {
    ::operator delete(memory, std::align_val_t{kCacheLineBytes});
  }
  bool operator==(const CacheLineAllocator&) const { return true; }
};

}  // namespace tlskeep
