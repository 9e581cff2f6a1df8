// The addon's error type and the one place where it becomes a JavaScript error with a code.
#pragma once

#include <napi.h>

#include <exception>
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

// What one environment (main thread or worker) keeps for the addon.
struct EnvironmentData {
  Napi::FunctionReference error_class;
};

// useErrorClass(class): errors made from here on are `new class(code, message)`.
Napi::Value UseErrorClass(const Napi::CallbackInfo& info);

// The JavaScript error object for `error`.
Napi::Value ToJavaScript(Napi::Env env, const AddonError& error);

// Runs the body of one function called by JavaScript; whatever it throws leaves as a JavaScript
// exception.
template <typename Body>
auto AtBoundary(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const AddonError& error) {
    throw Napi::Error(env, ToJavaScript(env, error));
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Napi::Error(env, ToJavaScript(env, AddonError("out-of-memory", "out of memory")));
  } catch (const std::exception& error) {
    throw Napi::Error(env, ToJavaScript(env, AddonError("internal", error.what())));
  }
}

}  // namespace tlskeep
