// The addon's error type: a code for JavaScript to act on, and a sentence.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace tlskeep {

// An error that JavaScript acts on by `code`: lower-case words for our own, the errno's name
// (`ENOENT`) for the system's. Messages never hold key material.
class AddonError : public std::runtime_error {
 public:
  AddonError(std::string code, const std::string& message)
      : std::runtime_error(message), code_(std::move(code)) {}

  // An errno value, named as Node names it.
  static AddonError System(const char* syscall, int error_number);

  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

}  // namespace tlskeep
