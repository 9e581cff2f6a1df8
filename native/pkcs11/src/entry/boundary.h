// What every entry point shares: the error boundary and the output rules.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "cryptoki.h"
#include "error.h"
#include "module.h"
#include "wire/bytes.h"

namespace tlskeep {

// Logs a failure of ours or of the enclave; a caller's mistake is not worth a line.
CK_RV LogAndReturn(const char* function, CK_RV rv, const char* what) noexcept;

// Runs one entry point. The only place where a C++ error becomes a CK_RV: nothing may unwind into a
// consumer.
template <typename Body>
CK_RV AtBoundary(const char* function, Body&& body) noexcept {
  try {
    return body();
  } catch (const Pkcs11Error& error) {
    return LogAndReturn(function, error.rv(), error.what());
  } catch (const std::bad_alloc&) {
    return LogAndReturn(function, CKR_HOST_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return LogAndReturn(function, CKR_GENERAL_ERROR, error.what());
  } catch (...) {
    return LogAndReturn(function, CKR_GENERAL_ERROR, "unknown exception");
  }
}

// The same for an entry point that needs the module initialized: the body takes it.
template <typename Body>
CK_RV WithModule(const char* function, Body&& body) noexcept {
  return AtBoundary(function, [&]() -> CK_RV {
    ModuleUse use;
    return body(use.module());
  });
}

// The output-buffer rules of PKCS #11 v2.40 base §5.2: a null buffer asks for the length, a short one is
// refused with it. In both cases nothing has been produced: the caller returns the result as it is.
// `units` are what the function counts in: bytes, or handles of a list.
CK_RV SizeOutput(const void* buffer, CK_ULONG* count, std::size_t units);

inline void RequirePointer(const void* pointer) {
  if (pointer == nullptr) throw Pkcs11Error(CKR_ARGUMENTS_BAD, "null pointer");
}

// A caller's array; null only if it is empty. @throws Pkcs11Error CKR_ARGUMENTS_BAD
template <typename T>
std::span<T> Input(T* pointer, CK_ULONG count) {
  if (count != 0) RequirePointer(pointer);
  return {pointer, count};
}

// Fills a fixed field of an info structure, padded with blanks and not terminated.
template <std::size_t kSize>
void SetPadded(unsigned char (&field)[kSize], std::string_view text) {
  std::memset(field, ' ', kSize);
  std::memcpy(field, text.data(), std::min(text.size(), kSize));
}

// Writes a list as C_GetSlotList and C_GetMechanismList return them.
template <typename List, typename T>
CK_RV WriteList(const List& list, T* buffer, CK_ULONG* count) {
  if (const CK_RV rv = SizeOutput(buffer, count, list.size()); rv != CKR_OK || buffer == nullptr) return rv;
  std::copy(list.begin(), list.end(), buffer);
  return CKR_OK;
}

}  // namespace tlskeep
