// The one place where the addon's errors become JavaScript errors with a code.
#pragma once

#include <napi.h>

#include <exception>
#include <new>

#include "addon_error.h"

namespace tlskeep {

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
