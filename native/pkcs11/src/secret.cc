// Maps one page per secret: the page, not the heap, decides what is locked and left out of dumps.
#include "secret.h"

#include <string.h>
#include <sys/mman.h>

#include <atomic>
#include <new>
#include <stdexcept>
#include <utility>

#include "log.h"

namespace tlskeep {
namespace {

constexpr std::size_t kPageBytes = 4096;

void Lock(void* memory) noexcept {
  static constinit std::atomic<bool> warned = false;
  // RLIMIT_MEMLOCK may be small: an unlocked secret is better than a server that does not start.
  if (mlock(memory, kPageBytes) != 0 && !warned.exchange(true)) {
    Log(LogLevel::kWarning, "cannot lock the memory that holds a PIN (RLIMIT_MEMLOCK): it may be swapped");
  }
}

}  // namespace

Secret::Secret(std::size_t capacity) : capacity_(capacity) {
  if (capacity > kPageBytes) throw std::length_error("secret larger than a page");
  void* memory = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  Lock(memory);
  madvise(memory, kPageBytes, MADV_DONTDUMP);
  memory_ = static_cast<std::uint8_t*>(memory);
}

Secret::Secret(ByteView content) : Secret(content.size()) { Append(content); }

Secret::Secret(Secret&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Release();
    memory_ = std::exchange(other.memory_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

Secret::~Secret() { Release(); }

void Secret::Append(ByteView content) {
  if (content.size() > capacity_ - size_) throw std::length_error("secret does not fit");
  if (!content.empty()) memcpy(memory_ + size_, content.data(), content.size());
  size_ += content.size();
}

bool Secret::Equals(ByteView other) const noexcept {
  if (other.size() != size_) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < size_; ++i) difference |= static_cast<unsigned>(memory_[i] ^ other[i]);
  return difference == 0;
}

void Secret::LockAgain() noexcept {
  if (memory_ != nullptr) Lock(memory_);
}

void Secret::Release() noexcept {
  if (memory_ == nullptr) return;
  explicit_bzero(memory_, kPageBytes);
  munmap(memory_, kPageBytes);
  memory_ = nullptr;
}

}  // namespace tlskeep
